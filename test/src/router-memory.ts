/** The environment in which the launcher runs a router, its flags of Node included: whoever runs one without the launcher has to say the same. */
export async function routerMemory(): Promise<Readonly<Record<string, string>>> {
  const { ROUTER_ENV, ROUTER_NODE_FLAGS } = (await import(new URL('../../apps/cli/bin/router-memory.js', import.meta.url).href)) as {
    readonly ROUTER_ENV: Readonly<Record<string, string>>;
    readonly ROUTER_NODE_FLAGS: readonly string[];
  };
  return { ...ROUTER_ENV, NODE_OPTIONS: ROUTER_NODE_FLAGS.join(' ') };
}

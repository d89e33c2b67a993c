import { fileURLToPath } from 'node:url';

export const SETUPS = ['one', 'split', 'tls'] as const;
export type Setup = (typeof SETUPS)[number];

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));

// The tests' own keys: what lies under /pods/ goes to a second file, everything else (/registry, /abc, …) to the first.
const SPLIT_TOPOLOGY = `backends:
- name: pods
  endpoint: sqlite://$DIR/pods.db
  prefix:
    prefix: /pods/
`;

/**
 * The shell command that runs the router for one test; the test server documents its variables. The launcher is run by
 * this very Node, so that it need not look for one.
 */
export function routerCommand(setup: Setup): string {
  const router = [
    quote(process.execPath),
    quote(LAUNCHER),
    'router',
    '--listen-address "$SCHEME://localhost:$PORT"',
    '--endpoint "multi://sqlite://$DIR/main.db"',
    '--metrics-bind-address 0',
    '${PROGRESS:+--watch-progress-notify-interval "$PROGRESS"}',
    '${CERT:+--server-cert-file "$CERT" --server-key-file "$KEY" --trusted-ca-file "$CA"}',
  ].join(' ');
  if (setup !== 'split') return `exec ${router}`;
  return `printf '%s' "${SPLIT_TOPOLOGY}" > "$DIR/topology.yaml"; export TOPOLOGY_CONFIG="file://$DIR/topology.yaml"; exec ${router}`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

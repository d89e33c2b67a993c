/** What docker/Dockerfile says, read as far as that file goes: anything else in it is an error by name. Reference: docs.docker.com, Dockerfile. */

/** The configuration of an image, as its Dockerfile sets it. */
export interface ImageConfig {
  readonly workdir: string;
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly number[];
}

export type BuildStep =
  | { readonly kind: 'run'; readonly command: string; readonly caches: readonly string[]; readonly args: Readonly<Record<string, string>> }
  /** `from`: a stage by name; null: the build context. */
  | { readonly kind: 'copy'; readonly from: string | null; readonly sources: readonly string[]; readonly target: string };

export interface Stage {
  readonly name: string;
  /** Name of an earlier stage, or of an image. */
  readonly base: string;
  readonly steps: readonly BuildStep[];
  readonly config: ImageConfig;
}

const EMPTY: ImageConfig = { workdir: '/', user: '', env: {}, entrypoint: [], cmd: [], labels: {}, ports: [] };

/**
 * The stages in order, each with what it inherits.
 * @param given values of `ARG`s, also those that a builder sets by itself (`BUILDPLATFORM`, `TARGETARCH`).
 */
export function parseDockerfile(text: string, given: Readonly<Record<string, string>>): Stage[] {
  const outer: Record<string, string> = { ...given };
  const stages: Stage[] = [];
  let inner: Record<string, string> = {};
  for (const { keyword, rest } of instructions(text)) {
    const stage = stages.at(-1);
    if (keyword === 'FROM') {
      const [, base = '', name = ''] = /^(?:--platform=\S+ )?(\S+) AS (\S+)$/.exec(expand(rest, outer)) ?? fail(keyword, rest);
      const inherited = stages.find((one) => one.name === base);
      inner = {};
      stages.push({ name, base, steps: [], config: inherited?.config ?? EMPTY });
    } else if (keyword === 'ARG') {
      const [, name = '', value] = /^(\w+)(?:=(\S*))?$/.exec(rest) ?? fail(keyword, rest);
      const scope = stage === undefined ? outer : inner;
      scope[name] = given[name] ?? value ?? fail(keyword, `${rest}, which has no value`);
    } else {
      if (stage === undefined) fail(keyword, `${rest} before the first FROM`);
      stages[stages.length - 1] = withInstruction(stage, keyword, rest, inner);
    }
  }
  return stages;
}

function withInstruction(stage: Stage, keyword: string, rest: string, args: Readonly<Record<string, string>>): Stage {
  const configured = (config: Partial<ImageConfig>): Stage => ({ ...stage, config: { ...stage.config, ...config } });
  const done = (step: BuildStep): Stage => ({ ...stage, steps: [...stage.steps, step] });
  switch (keyword) {
    case 'WORKDIR':
      return configured({ workdir: rest });
    case 'USER':
      return configured({ user: rest });
    case 'ENV':
      return configured({ env: { ...stage.config.env, ...pairs(keyword, rest) } });
    case 'LABEL':
      return configured({ labels: { ...stage.config.labels, ...pairs(keyword, rest) } });
    case 'EXPOSE':
      return configured({ ports: rest.split(' ').map(Number) });
    case 'ENTRYPOINT':
      return configured({ entrypoint: words(keyword, rest), cmd: [] });
    case 'CMD':
      return configured({ cmd: words(keyword, rest) });
    case 'STOPSIGNAL':
      return rest === 'SIGTERM' ? stage : fail(keyword, rest);
    case 'RUN': {
      const caches = [...rest.matchAll(/--mount=type=cache,target=(\S+) /g)].map(([, target = '']) => target);
      const command = rest.replaceAll(/--mount=type=cache,target=\S+ /g, '');
      if (command.startsWith('--')) fail(keyword, rest);
      return done({ kind: 'run', command, caches, args: { ...args } });
    }
    case 'COPY': {
      const [, from = null, paths = ''] = /^(?:--from=(\S+) )?([^-].*)$/.exec(rest) ?? fail(keyword, rest);
      const parts = paths.split(' ');
      return done({ kind: 'copy', from, sources: parts.slice(0, -1), target: parts.at(-1) ?? '' });
    }
    default:
      return fail(keyword, rest);
  }
}

/** One per line, lines that end in a backslash joined, without comments. */
function instructions(text: string): { readonly keyword: string; readonly rest: string }[] {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .join('\n')
    .replaceAll(/\s*\\\n\s*/g, ' ')
    .split('\n');
  return lines.map((line) => {
    const [, keyword = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line.trim()) ?? fail('line', line);
    return { keyword, rest };
  });
}

function expand(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\{?(\w+)\}?/g, (_, name: string) => values[name] ?? fail('variable', name));
}

function pairs(keyword: string, text: string): Record<string, string> {
  const found = [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))(?: |$)/g)];
  if (found.map(([whole]) => whole).join('') !== text) fail(keyword, text);
  return Object.fromEntries(found.map(([, name = '', quoted, plain]) => [name, quoted ?? plain ?? '']));
}

function words(keyword: string, text: string): string[] {
  const list: unknown = text.startsWith('[') ? JSON.parse(text) : fail(keyword, `${text}: the list form passes signals on`);
  if (!Array.isArray(list)) fail(keyword, text);
  return list.map(String);
}

function fail(keyword: string, rest: string): never {
  throw new Error(`docker/Dockerfile: what builds it here does not know ${keyword} ${rest}`);
}

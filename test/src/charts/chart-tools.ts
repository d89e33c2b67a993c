/** helm and kubeconform in pinned versions (`test/go/chart-tools`): found in PATH or in the user's cache folder, else built from their Go modules into it. */
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cacheRoot, COMPILER_FLAGS, compilerEnv, FileLock, formatElapsed, type Progress, SetupError } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';

interface ToolFacts {
  readonly version: string;
  /** The main package. */
  readonly package: string;
  /** The variable that holds the version that the program tells. */
  readonly versionVariable: string;
  readonly versionArgs: readonly string[];
}

const TOOLS = {
  helm: {
    version: '3.21.4',
    package: 'helm.sh/helm/v3/cmd/helm',
    versionVariable: 'helm.sh/helm/v3/internal/version.version',
    versionArgs: ['version', '--short'],
  },
  kubeconform: {
    version: '0.8.0',
    package: 'github.com/yannh/kubeconform/cmd/kubeconform',
    versionVariable: 'main.version',
    versionArgs: ['-v'],
  },
} as const satisfies Record<string, ToolFacts>;

export type ChartTool = keyof typeof TOOLS;

export interface ChartToolOptions {
  /** `PATH`, what names the cache folder, and whatever Go needs. */
  readonly env: Env;
  readonly progress: Progress;
}

/** The path of each tool. Refuses with a `SetupError` when one can neither be found nor built; a second process that builds the same waits. */
export async function findChartTools({ env, progress }: ChartToolOptions): Promise<Readonly<Record<ChartTool, string>>> {
  return { helm: await findTool('helm', { env, progress }), kubeconform: await findTool('kubeconform', { env, progress }) };
}

async function findTool(tool: ChartTool, options: ChartToolOptions): Promise<string> {
  const { env, progress } = options;
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, tool);
    if (isFile(path) && (await tellsVersion(tool, path))) return path;
  }
  const folder = join(cacheRoot(env), 'bin');
  const path = join(folder, `${tool}-${TOOLS[tool].version}`);
  mkdirSync(folder, { recursive: true });
  const lock = await FileLock.acquire(`${path}.lock`, {
    onWait: ({ pid }) => progress.note(`waiting for process ${pid}, which builds ${tool}`),
  });
  try {
    if (!(isFile(path) && (await tellsVersion(tool, path)))) await build(tool, path, options);
  } finally {
    lock.release();
  }
  return path;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Whether the program at `path` runs and says that it is of the pinned version. */
function tellsVersion(tool: ChartTool, path: string): Promise<boolean> {
  const { version, versionArgs } = TOOLS[tool];
  return new Promise((resolve) => {
    execFile(path, [...versionArgs], { timeout: 20_000, env: {} }, (error, stdout) => {
      resolve(error === null && /v?(\d+\.\d+\.\d+)/.exec(stdout)?.[1] === version);
    });
  });
}

async function build(tool: ChartTool, path: string, { env, progress }: ChartToolOptions): Promise<void> {
  const { version, package: main, versionVariable } = TOOLS[tool];
  const startedAt = performance.now();
  progress.note(
    `building ${tool} ${version} from its Go module, some minutes the first time, less where Kubernetes was built before; it is kept as ${path}`,
  );
  const draft = mkdtempSync(`${path}.draft-`);
  try {
    const messages = await goBuild(main, join(draft, tool), `-s -w -X ${versionVariable}=v${version}`, {
      env: { ...env, GOFLAGS: '', GOWORK: 'off' },
      onSecond: (count) =>
        progress.update(`building ${tool}: ${formatElapsed(performance.now() - startedAt)}, ${count} packages and modules`),
    });
    if (messages !== null)
      throw new SetupError(
        `${tool} cannot be built: ${messages}; install Go and let it reach a module proxy (GOPROXY), or put ${tool} ${version} on PATH`,
      );
    renameSync(join(draft, tool), path);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  progress.note(`built ${tool} ${version} in ${formatElapsed(performance.now() - startedAt)}`);
}

const MODULE = fileURLToPath(new URL('../../go/chart-tools/', import.meta.url));

interface GoBuildOptions {
  readonly env: Env;
  readonly onSecond: (lines: number) => void;
}

/** Null when the program is there; else what Go said last. Out of the way of whatever else runs. */
async function goBuild(main: string, target: string, linking: string, { env, onSecond }: GoBuildOptions): Promise<string | null> {
  const child = spawn('nice', ['-n', '10', 'go', 'build', '-v', ...COMPILER_FLAGS, '-ldflags', linking, '-o', target, main], {
    cwd: MODULE,
    env: compilerEnv(env),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const timer = setInterval(() => onSecond(lines.length), 1000);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    return code === 0 ? null : (lines.at(-1) ?? `go ended with ${code}`);
  } finally {
    clearInterval(timer);
  }
}

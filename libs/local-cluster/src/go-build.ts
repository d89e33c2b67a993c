/** Builds the five programs as one, with symbolic links under their names, from the Go module in `kubernetes/`. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Env } from '@harikube/platform';
import { COMPILER_FLAGS, compilerEnv } from './go-compiler.js';
import { PROGRAMS } from './programs.js';
import { formatElapsed, type Progress } from './progress.js';
import { errorCode, SetupError } from './setup-error.js';
import { GO_VERSION, KUBERNETES_VERSION } from './versions.js';

const MODULE = fileURLToPath(new URL('../kubernetes/', import.meta.url));
/** The file behind the links. */
const MULTI_CALL = 'kubernetes-and-etcd';
const WAY_OUT = `install Go ${GO_VERSION} or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder that holds ${PROGRAMS.join(', ')} ${KUBERNETES_VERSION}`;

export interface BuildOptions {
  readonly env: Env;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** Builds into `folder`, where everything appears whole or not at all. Refuses with a `SetupError` that says what is missing. */
export async function buildPrograms(folder: string, options: BuildOptions): Promise<void> {
  const { env, progress } = options;
  const go = await goVersion(env);
  const startedAt = performance.now();
  progress.note(
    `building Kubernetes ${KUBERNETES_VERSION} with Go ${go}: about 5 minutes the first time on 2 cores, then it is kept in ${folder}`,
  );
  const total = await countPackages(folder, options);
  const draft = mkdtempSync(join(folder, '.build-'));
  try {
    await compile(join(draft, MULTI_CALL), total, startedAt, folder, options);
    // The links last: a program that can be found is a program that is whole.
    renameSync(join(draft, MULTI_CALL), join(folder, MULTI_CALL));
    for (const program of PROGRAMS) {
      symlinkSync(MULTI_CALL, join(draft, program));
      renameSync(join(draft, program), join(folder, program));
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  progress.note(`built Kubernetes ${KUBERNETES_VERSION} in ${formatElapsed(performance.now() - startedAt)}`);
}

async function goVersion(env: Env): Promise<string> {
  const { error, stdout, stderr } = await askGo(env);
  if (errorCode(error) === 'ENOENT') throw new SetupError(`there is no Go on PATH to build Kubernetes with: ${WAY_OUT}`);
  const version = /^go(\d+)\.(\d+)(\S*)/.exec(stdout.trim());
  if (version === null) throw new SetupError(`the Go on PATH does not tell its version (${lastLine(stderr)}): ${WAY_OUT}`);
  const [, major = '', minor = '', rest = ''] = version;
  const [neededMajor = 0, neededMinor = 0] = GO_VERSION.split('.').map(Number);
  if (Number(major) < neededMajor || (Number(major) === neededMajor && Number(minor) < neededMinor)) {
    throw new SetupError(`the Go on PATH is ${major}.${minor}${rest}, too old to build Kubernetes: ${WAY_OUT}`);
  }
  return `${major}.${minor}${rest}`;
}

function askGo(env: Env): Promise<{ error: Error | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    // In the module's folder, since a Go that may fetch newer ones answers with the one that it would use there.
    execFile('go', ['env', 'GOVERSION'], { cwd: MODULE, env }, (error, stdout, stderr) => resolve({ error, stdout, stderr }));
  });
}

/** How many packages there are to compile at most; loads the modules that are not on this machine yet. */
async function countPackages(folder: string, { env, progress, signal }: BuildOptions): Promise<number> {
  const startedAt = performance.now();
  let downloaded = 0;
  const { code, output, messages } = await runGo(
    ['list', '-deps', '.'],
    { env, signal },
    {
      onMessage: (line) => {
        if (line.startsWith('go: downloading')) downloaded += 1;
      },
      onSecond: () =>
        progress.update(`reading the Go modules of Kubernetes: ${formatElapsed(performance.now() - startedAt)}, ${downloaded} downloaded`),
    },
  );
  if (code !== 0) throw buildError(messages, folder, env);
  return output.trim().split('\n').length;
}

async function compile(
  target: string,
  total: number,
  startedAt: number,
  folder: string,
  { env, progress, signal }: BuildOptions,
): Promise<void> {
  const minor = KUBERNETES_VERSION.split('.')[1] ?? '';
  const variable = (name: string, value: string): string => `-X k8s.io/component-base/version.${name}=${value}`;
  const linking = ['-s -w', variable('gitVersion', `v${KUBERNETES_VERSION}`), variable('gitMajor', '1'), variable('gitMinor', minor)].join(
    ' ',
  );
  let compiled = 0;
  let current = 'reading what is compiled already';
  const { code, messages } = await runGo(
    ['build', '-v', ...COMPILER_FLAGS, '-buildvcs=false', '-ldflags', linking, '-o', target, '.'],
    { env: compilerEnv(env), signal },
    {
      onMessage: (line) => {
        if (!isPackage(line)) return;
        compiled += 1;
        current = line === 'harikube.info/local-cluster' ? 'linking' : line;
      },
      onSecond: () =>
        progress.update(
          `building Kubernetes: ${formatElapsed(performance.now() - startedAt)}, ${compiled} packages compiled of at most ${total}, ${current}`,
        ),
    },
  );
  if (code !== 0) throw buildError(messages, folder, env);
}

/** `go build -v` names each package on a line of its own. */
function isPackage(line: string): boolean {
  return /^[\w.~-]+(\/[\w.~-]+)*$/.test(line);
}

interface GoListener {
  readonly onMessage: (line: string) => void;
  readonly onSecond: () => void;
}

interface GoResult {
  readonly code: number | null;
  readonly output: string;
  /** What it wrote to standard error. */
  readonly messages: readonly string[];
}

async function runGo(
  args: readonly string[],
  { env, signal }: { readonly env: Env; readonly signal?: AbortSignal },
  { onMessage, onSecond }: GoListener,
): Promise<GoResult> {
  // A group of its own, so that an interrupted build takes its compilers with it.
  const child = spawn('go', [...args], { cwd: MODULE, env: { ...env, GOWORK: 'off' }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const interrupt = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
  };
  signal?.addEventListener('abort', interrupt, { once: true });
  process.once('exit', interrupt);
  onSecond();
  const timer = setInterval(onSecond, 1000);
  let output = '';
  const messages: string[] = [];
  try {
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    createInterface({ input: child.stderr }).on('line', (line) => {
      messages.push(line);
      onMessage(line);
    });
    const code = await ended;
    signal?.throwIfAborted();
    return { code, output, messages };
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', interrupt);
    process.off('exit', interrupt);
  }
}

function buildError(output: readonly string[], folder: string, env: Env): SetupError {
  const lines = output.filter((line) => line.trim() !== '' && !line.startsWith('go: downloading') && !isPackage(line));
  const text = lines.join('\n');
  if (/no space left on device/i.test(text)) {
    return new SetupError(
      `the disk is full: the build of Kubernetes needs 200 MB in ${folder} (HARIKUBE_CACHE) and about 4 GB for Go's caches (GOCACHE, GOMODCACHE, TMPDIR${env['GOCACHE'] ? `, here ${env['GOCACHE']}` : ''}): free some space or set these to folders on another disk`,
    );
  }
  if (/dial tcp|proxyconnect|no such host|i\/o timeout|connection refused/i.test(text)) {
    return new SetupError(
      `Go cannot load the modules of Kubernetes (${lastLine(text)}): connect this machine or set GOPROXY to a proxy that it can reach`,
    );
  }
  return new SetupError(['the build of Kubernetes failed:', ...lines.slice(-10).map((line) => `  ${line}`)].join('\n'));
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

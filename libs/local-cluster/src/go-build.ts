/** Builds the five programs as one, with symbolic links under their names, from the Go module in `kubernetes/`. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Env } from '@harikube/platform';
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
    await compile(join(draft, MULTI_CALL), total, startedAt, options);
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
  const { error, stdout, stderr } = await run(['env', 'GOVERSION'], env);
  if (errorCode(error) === 'ENOENT') throw new SetupError(`there is no Go on PATH to build Kubernetes with: ${WAY_OUT}`);
  const version = /^go(\d+)\.(\d+)(\S*)/.exec(stdout.trim());
  if (error !== null && version === null) throw new SetupError(`the Go on PATH cannot build Kubernetes (${lastLine(stderr)}): ${WAY_OUT}`);
  if (version === null) throw new SetupError(`the Go on PATH does not tell its version: ${WAY_OUT}`);
  const [, major = '', minor = '', rest = ''] = version;
  const [neededMajor = 0, neededMinor = 0] = GO_VERSION.split('.').map(Number);
  if (Number(major) < neededMajor || (Number(major) === neededMajor && Number(minor) < neededMinor)) {
    throw new SetupError(`the Go on PATH is ${major}.${minor}${rest}, too old to build Kubernetes: ${WAY_OUT}`);
  }
  return `${major}.${minor}${rest}`;
}

async function countPackages(folder: string, { env, signal }: BuildOptions): Promise<number> {
  const { error, stdout, stderr } = await run(['list', '-deps', '.'], env, signal);
  signal?.throwIfAborted();
  if (error !== null) throw buildError(stderr.split('\n'), folder, env);
  return stdout.trim().split('\n').length;
}

async function compile(output: string, total: number, startedAt: number, { env, progress, signal }: BuildOptions): Promise<void> {
  const minor = KUBERNETES_VERSION.split('.')[1] ?? '';
  const variable = (name: string, value: string): string => `-X k8s.io/component-base/version.${name}=${value}`;
  const linking = ['-s -w', variable('gitVersion', `v${KUBERNETES_VERSION}`), variable('gitMajor', '1'), variable('gitMinor', minor)].join(
    ' ',
  );
  // A group of its own, so that an interrupted build takes its compilers with it.
  const child = spawn('go', ['build', '-v', '-trimpath', '-ldflags', linking, '-o', output, '.'], {
    cwd: MODULE,
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const interrupt = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
  };
  signal?.addEventListener('abort', interrupt, { once: true });
  process.once('exit', interrupt);
  let compiled = 0;
  let current = 'reading what is compiled already';
  const others: string[] = [];
  const tell = (): void =>
    progress.update(
      `building Kubernetes: ${formatElapsed(performance.now() - startedAt)}, ${compiled} packages compiled of at most ${total}, ${current}`,
    );
  tell();
  const timer = setInterval(tell, 1000);
  try {
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (/^[\w.~-]+(\/[\w.~-]+)*$/.test(line)) {
        compiled += 1;
        current = line === 'harikube.info/local-cluster' ? 'linking' : line;
      } else {
        others.push(line);
      }
    });
    const code = await ended;
    signal?.throwIfAborted();
    if (code !== 0) throw buildError(others, dirname(dirname(output)), env);
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', interrupt);
    process.off('exit', interrupt);
  }
}

function buildError(output: readonly string[], folder: string, env: Env): SetupError {
  const lines = output.filter((line) => line.trim() !== '' && !line.startsWith('go: downloading'));
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

function run(args: readonly string[], env: Env, signal?: AbortSignal): Promise<{ error: Error | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile('go', [...args], { cwd: MODULE, env, signal, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ error, stdout, stderr }),
    );
  });
}

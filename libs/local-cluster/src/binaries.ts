/**
 * Where the Kubernetes programs come from. Each is looked for by itself, in this order: `KUBEBUILDER_ASSETS`, PATH, the
 * cache folder; what is then still missing is downloaded from the official releases or built from the Go modules, into
 * the cache folder. A program of another version than the pinned one is passed over with a note.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdirSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Env } from '@harikube/platform';
import { FileLock } from './file-lock.js';
import { buildPrograms } from './go-build.js';
import type { Program } from './programs.js';
import type { Progress } from './progress.js';
import { downloadPrograms, type ReleaseUrls } from './release-download.js';
import { explainFileError, SetupError } from './setup-error.js';
import { ETCD_VERSION, KUBERNETES_VERSION } from './versions.js';

export type Source = 'KUBEBUILDER_ASSETS' | 'PATH' | 'cache' | 'download' | 'build';

export interface Found {
  readonly path: string;
  readonly source: Source;
}

interface ProgramFacts {
  readonly version: string;
  readonly versionArgs: readonly string[];
}

const kubernetes = { version: KUBERNETES_VERSION, versionArgs: ['--version'] };
const FACTS: Readonly<Record<Program, ProgramFacts>> = {
  'kube-apiserver': kubernetes,
  'kube-controller-manager': kubernetes,
  kubectl: { version: KUBERNETES_VERSION, versionArgs: ['version', '--client'] },
  etcd: { version: ETCD_VERSION, versionArgs: ['--version'] },
  etcdctl: { version: ETCD_VERSION, versionArgs: ['version'] },
};

/** A way to put programs into a folder; a `SetupError` says why it cannot. */
export type Provider = (
  programs: readonly Program[],
  folder: string,
  options: { readonly progress: Progress; readonly signal?: AbortSignal },
) => Promise<void>;

export interface BinariesOptions {
  /** `KUBEBUILDER_ASSETS`, `PATH`, `HARIKUBE_CACHE`, `XDG_CACHE_HOME`, `HOME` and whatever Go needs. */
  readonly env: Env;
  readonly progress: Progress;
  readonly urls?: Partial<ReleaseUrls>;
  /** In place of the official releases. */
  readonly download?: Provider;
  /** In place of the build from Go modules. */
  readonly build?: Provider;
  /** How long a program may take to say its version; 20 s. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 20_000;

export class Binaries {
  readonly #options: BinariesOptions;

  constructor(options: BinariesOptions) {
    this.#options = options;
  }

  /** Folder of everything that is downloaded or built; its name holds the pinned versions. */
  get cacheFolder(): string {
    return join(cacheRoot(this.#options.env), 'bin', `kubernetes-${KUBERNETES_VERSION}-etcd-${ETCD_VERSION}`);
  }

  /**
   * The programs asked for, in the pinned versions. Refuses with a `SetupError` when one can neither be found nor made. A
   * second process that has to make the same waits for the first.
   */
  async find<P extends Program>(programs: readonly P[], signal?: AbortSignal): Promise<Record<P, Found>> {
    const { progress } = this.#options;
    const found = new Map<Program, Found>();
    const look = async (places: readonly Source[]): Promise<P[]> => {
      const missing = programs.filter((program) => !found.has(program));
      await Promise.all(
        missing.map(async (program) => {
          const result = await this.#lookFor(program, places);
          if (result !== null) found.set(program, result);
        }),
      );
      return missing.filter((program) => !found.has(program));
    };
    let missing = await look(['KUBEBUILDER_ASSETS', 'PATH', 'cache']);
    if (missing.length > 0) {
      const folder = this.cacheFolder;
      try {
        mkdirSync(folder, { recursive: true });
        const lock = await FileLock.acquire(`${folder}.lock`, {
          onWait: (holder) => progress.note(`process ${holder.pid} is preparing ${missing.join(', ')}: waiting for it`),
          signal,
        });
        try {
          missing = await look(['cache']);
          if (missing.length > 0) missing = await this.#make(missing, folder, look, signal);
        } finally {
          lock.release();
        }
      } catch (error) {
        throw explainFileError(error, folder);
      }
    }
    if (missing.length > 0)
      throw new SetupError(`${missing.join(', ')} in ${this.cacheFolder} do not run: delete that folder and start again`);
    return Object.fromEntries(found) as Record<P, Found>;
  }

  async #make<P extends Program>(
    missing: readonly P[],
    folder: string,
    look: (places: readonly Source[]) => Promise<P[]>,
    signal?: AbortSignal,
  ): Promise<P[]> {
    const { env, progress, urls } = this.#options;
    const download: Provider =
      this.#options.download ?? ((programs, target, options) => downloadPrograms(programs, target, { ...options, urls }));
    const build: Provider = this.#options.build ?? ((_programs, target, options) => buildPrograms(target, { ...options, env }));
    progress.note(`${missing.join(', ')} of the pinned version: not found on this machine`);
    let reason: string;
    try {
      await download(missing, folder, { progress, signal });
      const rest = await look(['download']);
      if (rest.length === 0) return rest;
      reason = `the downloaded ${rest.join(', ')} does not run`;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof SetupError)) throw error;
      reason = error.message;
    }
    progress.note(`${reason}; building from the Go modules instead`);
    await build(missing, folder, { progress, signal });
    return await look(['build']);
  }

  async #lookFor(program: Program, places: readonly Source[]): Promise<Found | null> {
    const { env, progress, patienceMs = PATIENCE_MS } = this.#options;
    const { version } = FACTS[program];
    for (const source of places) {
      for (const folder of this.#foldersOf(source, env)) {
        const path = join(folder, program);
        if (!isExecutable(path)) continue;
        const actual = await readVersion(program, path, patienceMs);
        // The name of the cache folder holds the version: what is slow there is on a busy machine, which a build would make busier.
        const isKnown = actual === 'slow' && folder === this.cacheFolder;
        if (actual === version || isKnown) return { path, source };
        progress.note(
          `${path} (${source}) is passed over: it is ${actual === null || actual === 'slow' ? 'of an unknown version' : `version ${actual}`}, not ${version}`,
        );
      }
    }
    return null;
  }

  #foldersOf(source: Source, env: Env): readonly string[] {
    switch (source) {
      case 'KUBEBUILDER_ASSETS':
        return env['KUBEBUILDER_ASSETS'] ? [env['KUBEBUILDER_ASSETS']] : [];
      case 'PATH':
        return distinctFolders((env['PATH'] ?? '').split(delimiter));
      case 'cache':
      case 'download':
      case 'build':
        return [this.cacheFolder];
    }
  }
}

/** The user's cache folder: `HARIKUBE_CACHE`, else `harikube` below `XDG_CACHE_HOME`, else `~/.cache/harikube`. */
export function cacheRoot(env: Env): string {
  if (env['HARIKUBE_CACHE']) return env['HARIKUBE_CACHE'];
  if (env['XDG_CACHE_HOME']) return join(env['XDG_CACHE_HOME'], 'harikube');
  return join(env['HOME'] ?? homedir(), '.cache', 'harikube');
}

/** Without those that lead to the same place (`/bin` is `/usr/bin` on many systems) or nowhere. */
function distinctFolders(folders: readonly string[]): string[] {
  const byTarget = new Map<string, string>();
  for (const folder of folders) {
    try {
      const target = realpathSync(folder);
      if (!byTarget.has(target)) byTarget.set(target, folder);
    } catch {
      // PATH may name folders that are not there.
    }
  }
  return [...byTarget.values()];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The first version that the program prints; `null`: it does not run or prints none; `slow`: it was ended before it had. */
function readVersion(program: Program, path: string, timeout: number): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(path, [...FACTS[program].versionArgs], { timeout, env: {} }, (error, stdout) => {
      if (error?.killed === true) resolve('slow');
      else resolve(error === null ? (/\bv?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? null) : null);
    });
  });
}

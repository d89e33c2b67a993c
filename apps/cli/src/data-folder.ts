/** What `harikube up` keeps on disk, and how another process learns what runs there. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, explainFileError, FileLock, isRunning, parseIdentity, type ProcessIdentity, SetupError } from '@harikube/local-cluster';

/** Of the commands, where no `--data` names another one; below the current folder. */
export const DEFAULT_DATA_FOLDER = '.harikube';

/** A process with services of the platform. */
export interface ServiceProcess {
  readonly name: string;
  /** Base of its metrics and health. */
  readonly healthUrl: string;
}

export interface RunningState {
  /** The `harikube up` that wrote this. */
  readonly supervisor: ProcessIdentity;
  readonly startedAt: string;
  readonly store: 'router' | 'etcd';
  /** Where kube-apiserver stores everything. */
  readonly storeEndpoint: string;
  /** Without credentials; absent: a SQLite file. */
  readonly defaultDatabase?: string | undefined;
  /** Base of the router's health and metrics; absent with plain etcd. */
  readonly routerHealthUrl?: string;
  /** Where the router's admin API answers; absent with plain etcd. */
  readonly adminUrl?: string;
  /** The file of the token that it wants. */
  readonly adminTokenFile?: string;
  readonly apiServerUrl: string;
  /** Absent until it has been started. */
  readonly controllerManagerUrl?: string;
  /** Absent with `--bare`. */
  readonly services?: readonly ServiceProcess[];
  /** Where mails are shown that nobody is sent; absent when they are sent, and with `--bare`. */
  readonly mailBoxUrl?: string;
  /** By kind and name; absent with `--bare`. */
  readonly webhooks?: readonly string[];
  readonly isReady: boolean;
}

export class DataFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  get databases(): string {
    return join(this.path, 'db');
  }
  get runs(): string {
    return join(this.path, 'run');
  }
  get logs(): string {
    return join(this.path, 'logs');
  }
  /** What the mail catcher has caught. */
  get mails(): string {
    return join(this.path, 'mails');
  }
  get kubeconfig(): string {
    return join(this.path, 'kubeconfig');
  }
  get certificates(): string {
    return join(this.path, 'pki');
  }
  /** The ports of the platform's services. */
  get ports(): string {
    return join(this.path, 'ports.json');
  }
  /** The router's account in Kubernetes, where it reads its topology from a Secret. */
  get routerKubeconfig(): string {
    return join(this.path, 'router.kubeconfig');
  }
  /** The token that opens the router's admin API. */
  get adminToken(): string {
    return join(this.path, 'admin.token');
  }
  /** What the services are told that run in one process. */
  get serviceFlags(): string {
    return join(this.path, 'services.json');
  }
  get #stateFile(): string {
    return join(this.path, 'state.json');
  }

  /** Takes the folder for this process, making it when there is none; refuses one that another `harikube up` uses. */
  async claim(): Promise<FileLock> {
    try {
      for (const folder of [this.path, this.databases, this.runs]) mkdirSync(folder, { recursive: true, mode: 0o700 });
      const path = join(this.path, 'up.lock');
      let lock = FileLock.try(path);
      // A process that was killed a moment ago takes a while to be gone.
      for (
        const deadline = performance.now() + 1000;
        !(lock instanceof FileLock) && performance.now() < deadline;
        lock = FileLock.try(path)
      ) {
        await delay(50);
      }
      if (lock instanceof FileLock) return lock;
      throw new SetupError(
        `"harikube up" runs on ${this.path} already (process ${lock.pid}): stop it first or choose another folder with --data`,
      );
    } catch (error) {
      throw explainFileError(error, this.path);
    }
  }

  writeState(state: RunningState): void {
    const draft = `${this.#stateFile}.${process.pid}.tmp`;
    writeFileSync(draft, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
    renameSync(draft, this.#stateFile);
  }

  clearState(): void {
    rmSync(this.#stateFile, { force: true });
  }

  /** What runs here at present; `null`: nothing does. */
  readState(): RunningState | null {
    let text: string;
    try {
      text = readFileSync(this.#stateFile, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw explainFileError(error, this.path);
    }
    const state = JSON.parse(text) as RunningState;
    return isRunning(state.supervisor) ? state : null;
  }

  /** The children that run at present, by name. */
  readProcesses(): { readonly name: string; readonly pid: number }[] {
    return readdirSync(this.runs)
      .filter((file) => file.endsWith('.json'))
      .sort()
      .flatMap((file) => {
        const identity = parseIdentity(readFileSync(join(this.runs, file), 'utf8'));
        return identity !== null && isRunning(identity) ? [{ name: file.slice(0, -'.json'.length), pid: identity.pid }] : [];
      });
  }
}

/** A single etcd, to compare with: the store that Kubernetes is usually put on. */
import { mkdirSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import type { Env } from '@harikube/platform';
import { ManagedProcess, type ProcessEvent } from './managed-process.js';
import { freePort } from './ports.js';

export interface PlainEtcdOptions {
  /** Holds `etcd`, `logs` and `run`. */
  readonly dataDir: string;
  readonly program: string;
  readonly env: Env;
  readonly extraArgs?: readonly string[];
  readonly onEvent?: (event: ProcessEvent) => void;
}

export class PlainEtcd {
  readonly #options: PlainEtcdOptions;
  #process: ManagedProcess | null = null;
  #url = '';

  constructor(options: PlainEtcdOptions) {
    this.#options = options;
  }

  /** Where it listens, once `start` has resolved. */
  get url(): string {
    return this.#url;
  }

  async start(signal?: AbortSignal): Promise<void> {
    const { dataDir, program, env, extraArgs = [], onEvent } = this.#options;
    const url = `http://127.0.0.1:${await freePort()}`;
    const peerUrl = `http://127.0.0.1:${await freePort()}`;
    mkdirSync(join(dataDir, 'etcd'), { recursive: true, mode: 0o700 });
    this.#process = new ManagedProcess({
      name: 'etcd',
      command: program,
      args: [
        `--data-dir=${join(dataDir, 'etcd')}`,
        `--listen-client-urls=${url}`,
        `--advertise-client-urls=${url}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=default=${peerUrl}`,
        ...extraArgs,
      ],
      env,
      cwd: dataDir,
      logFolder: join(dataDir, 'logs'),
      runFolder: join(dataDir, 'run'),
      isReady: (attempt) => isHealthy(url, attempt),
      onEvent,
    });
    await this.#process.start(signal);
    this.#url = url;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }
}

function isHealthy(url: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    get(`${url}/health`, { agent: false, timeout: 2000, signal }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).once('error', () => resolve(false));
  });
}

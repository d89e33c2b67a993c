import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, silent, unpackDebianPackage } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { eventually } from '../e2e/eventually.js';

const run = promisify(execFile);

/** A page of metrics, with the labels that a scrape in a cluster gives it. */
export interface ScrapeTarget {
  readonly pod: string;
  /** HOST:PORT. */
  readonly address: string;
}

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result?: unknown };
}

/** Runs `promtool`; its output. Rejects with what it complains of. */
export async function promtool(...args: readonly string[]): Promise<string> {
  return (await run(await program('promtool'), [...args])).stdout;
}

/** A Prometheus that scrapes every few seconds: a page that comes later than that takes all its series away until the next one. */
export class Prometheus {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly url: string,
  ) {}

  /** Resolves when every target was scraped. */
  static async start(targets: readonly ScrapeTarget[]): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-prometheus-'));
    const file = join(folder, 'prometheus.yml');
    const scrape = {
      job_name: 'harikube',
      static_configs: targets.map(({ pod, address }) => ({ targets: [address], labels: { namespace: 'harikube-system', pod } })),
    };
    // JSON is YAML.
    await writeFile(file, JSON.stringify({ global: { scrape_interval: '5s', scrape_timeout: '5s' }, scrape_configs: [scrape] }));
    const address = `127.0.0.1:${await freePort()}`;
    const args = [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=${address}`];
    const child = spawn(await program('prometheus'), args, { stdio: 'ignore' });
    const server = new Prometheus(child, folder, `http://${address}`);
    await eventually(
      () => server.count('up == 1').catch(() => 0),
      (up) => up === targets.length,
    );
    return server;
  }

  /** How many series an expression has at this moment. Rejects with what is wrong with it. */
  async count(expression: string): Promise<number> {
    const response = await fetch(`${this.url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: expression }) });
    const { error, data } = (await response.json()) as Answer;
    if (error !== undefined) throw new Error(`${error}: ${expression}`);
    return Array.isArray(data?.result) ? data.result.length : 1;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function program(name: 'prometheus' | 'promtool'): Promise<string> {
  const { root } = await unpackDebianPackage('prometheus', { env: readEnv(), progress: silent });
  return join(root, 'usr', 'bin', name);
}

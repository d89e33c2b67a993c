import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdClient } from '@harikube/testing';
import { RouterProcess } from '../fault/router-process.js';
import { FuzzFinding } from './fuzz-part.js';

/** A router of its own process, which has to go on serving whatever comes. */
export class RouterTarget {
  readonly #client: EtcdClient;
  #puts = 0;
  #linesSeen = 0;

  private constructor(
    private readonly folder: string,
    private readonly router: RouterProcess,
  ) {
    this.#client = new EtcdClient(router.address);
  }

  static async start(): Promise<RouterTarget> {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-fuzz-'));
    return new RouterTarget(folder, await RouterProcess.start({ database: join(folder, 'main.db') }));
  }

  get address(): string {
    return this.router.address;
  }

  /** Another client is served, and the log tells of no error. */
  async check(input: Buffer): Promise<void> {
    try {
      const key = `/checked/${this.#puts % 10}`;
      const value = `${this.#puts++}`;
      await this.#client.put(key, value);
      const { kvs } = await this.#client.get(key);
      if (kvs[0]?.value.toString() !== value) throw new Error('a value that was put is not there');
    } catch (error) {
      throw new FuzzFinding(`the other client is not served: ${String(error)}`, input);
    }
    const lines = this.router.lines.slice(this.#linesSeen);
    this.#linesSeen = this.router.lines.length;
    const told = lines.find(({ level }) => level !== 'info' && level !== 'debug');
    if (told !== undefined) throw new FuzzFinding(`the router logged ${JSON.stringify(told)}`, input);
  }

  async close(): Promise<void> {
    this.#client.close();
    const exitCode = await this.router.stop();
    await rm(this.folder, { recursive: true });
    if (exitCode !== 0) throw new FuzzFinding(`the router ended with ${exitCode}`, Buffer.alloc(0));
  }
}

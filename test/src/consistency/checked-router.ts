import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RouterProcess } from '../fault/router-process.js';
import type { Area } from './history.js';
import { mutationFlags } from './mutation.js';

/** What the prefixes of all areas begin with. */
export const COMMON = '/registry/shop.example.com/';

/** Kinds with a file of their own; no rule takes that of the last one. */
const KINDS = ['emails', 'users'];
export const AREAS: readonly Area[] = [...KINDS, 'orders'].map((kind) => ({
  name: kind === 'orders' ? 'main' : kind,
  prefix: `${COMMON}${kind}/`,
}));

/** A router over three SQLite files, on which a mutation may have been performed. */
export class CheckedRouter {
  #router: RouterProcess | null = null;
  #address = '';

  private constructor(
    private readonly folder: string,
    private readonly mutations: readonly string[],
  ) {}

  static async start(mutations: readonly string[]): Promise<CheckedRouter> {
    const router = new CheckedRouter(await mkdtemp(join(tmpdir(), 'harikube-consistency-')), mutations);
    const rules = KINDS.map(
      (kind) =>
        `  - name: ${kind}\n    endpoint: sqlite://${join(router.folder, `${kind}.db`)}\n    customresource: {group: shop.example.com, kind: ${kind}}\n`,
    );
    await writeFile(join(router.folder, 'topology.yaml'), `backends:\n${rules.join('')}`);
    try {
      await router.#start();
    } catch (error) {
      await router.remove();
      throw error;
    }
    return router;
  }

  get address(): string {
    return this.#address;
  }

  /** kill -9, and another one on the same files. */
  async restart(): Promise<void> {
    await this.#router?.kill();
    await this.#start();
  }

  async remove(): Promise<void> {
    await this.#router?.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    this.#router = await RouterProcess.start({
      database: join(this.folder, 'main.db'),
      topology: join(this.folder, 'topology.yaml'),
      flags: ['--watch-progress-notify-interval', '200ms'],
      nodeFlags: mutationFlags(this.mutations),
    });
    this.#address = this.#router.address;
  }
}

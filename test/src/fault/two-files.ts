import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMON, kindTopology } from './kind-topology.js';
import { RouterProcess } from './router-process.js';

/** What the keys of all kinds begin with. */
export const GROUP = COMMON;
export const USERS = `${GROUP}users/`;
export const EMAILS = `${GROUP}emails/`;

/** A router's data: users and emails in a file each, everything else in the default one. */
export class TwoFiles {
  #router: RouterProcess | null = null;

  private constructor(readonly folder: string) {}

  static async create(): Promise<TwoFiles> {
    const files = new TwoFiles(await mkdtemp(join(tmpdir(), 'harikube-fault-')));
    await files.route(['users', 'emails']);
    return files;
  }

  /** Puts a topology in place in which these kinds have a file of their own. */
  async route(kinds: readonly string[]): Promise<void> {
    const rules = kinds.map((kind) => ({ kind, endpoint: `sqlite://${join(this.folder, `${kind}.db`)}` }));
    await writeFile(join(this.folder, 'topology.yaml'), kindTopology(rules));
  }

  async start(): Promise<RouterProcess> {
    this.#router = await RouterProcess.start({ database: join(this.folder, 'main.db'), topology: join(this.folder, 'topology.yaml') });
    return this.#router;
  }

  async remove(): Promise<void> {
    await this.#router?.kill();
    await rm(this.folder, { recursive: true });
  }
}

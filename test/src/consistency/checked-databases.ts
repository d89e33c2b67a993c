import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DatabaseServer, startEtcd, startMariadb, startPostgres } from '@harikube/testing';
import { COMMON, type KindBackend } from '../fault/kind-topology.js';
import type { CheckedEngine } from './engines.js';
import type { Area } from './history.js';

/** No rule takes it. */
const DEFAULT_KIND = 'orders';

/** Empty databases of any engines, each with a kind of its own: files of one folder, and a server for every other one. */
export class CheckedDatabases {
  readonly #databases: KindBackend[] = [];
  readonly #servers: DatabaseServer[] = [];

  private constructor(readonly folder: string) {}

  /** The first engine is that of the default database, which has whatever no other one has. */
  static async create(engines: readonly CheckedEngine[]): Promise<CheckedDatabases> {
    const databases = new CheckedDatabases(await mkdtemp(join(tmpdir(), 'harikube-consistency-')));
    try {
      for (const engine of engines) await databases.#add(engine);
    } catch (error) {
      await databases.remove();
      throw error;
    }
    return databases;
  }

  get main(): KindBackend {
    const [main] = this.#databases;
    if (main === undefined) throw new Error('a router has a database at least');
    return main;
  }

  get further(): readonly KindBackend[] {
    return this.#databases.slice(1);
  }

  get areas(): readonly Area[] {
    const area = ({ kind }: KindBackend): Area => ({ name: kind === DEFAULT_KIND ? 'main' : kind, prefix: `${COMMON}${kind}/` });
    return [...this.further, this.main].map(area);
  }

  /** Ends the servers, and removes all data. */
  async remove(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    await rm(this.folder, { recursive: true, force: true });
  }

  async #add(engine: CheckedEngine): Promise<void> {
    const { length } = this.#databases;
    const kind = length === 0 ? DEFAULT_KIND : `goods${length}`;
    this.#databases.push({
      kind,
      endpoint: engine === 'sqlite' ? `sqlite://${join(this.folder, `${kind}.db`)}` : await this.#createOn(engine),
    });
  }

  async #createOn(engine: Exclude<CheckedEngine, 'sqlite'>): Promise<string> {
    const server = await STARTS[engine]();
    this.#servers.push(server);
    return server.createDatabase();
  }
}

/** Only routers are killed here: nothing has to wait for a disk. */
const STARTS: Readonly<Record<Exclude<CheckedEngine, 'sqlite'>, () => Promise<DatabaseServer>>> = {
  postgres: () => startPostgres({ isDurable: false }),
  mariadb: () => startMariadb({ isDurable: false }),
  etcd: () => startEtcd({ isDurable: false }),
};

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kindTopology } from '../fault/kind-topology.js';
import { RouterProcess } from '../fault/router-process.js';
import { CheckedDatabases } from './checked-databases.js';
import type { CheckedEngine } from './engines.js';
import type { Area } from './history.js';
import { mutationFlags } from './mutation.js';

/** A router over several databases of its own, on which a mutation may have been performed. */
export class CheckedRouter {
  #router: RouterProcess | null = null;
  #address = '';

  private constructor(
    private readonly databases: CheckedDatabases,
    private readonly mutations: readonly string[],
  ) {}

  /** The first engine is that of the default database. */
  static async start(engines: readonly CheckedEngine[], mutations: readonly string[]): Promise<CheckedRouter> {
    const databases = await CheckedDatabases.create(engines);
    const router = new CheckedRouter(databases, mutations);
    try {
      await writeFile(router.#topology, kindTopology(databases.further));
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

  /** One for each database. */
  get areas(): readonly Area[] {
    return this.databases.areas;
  }

  /** kill -9, and another one on the same databases. */
  async restart(): Promise<void> {
    await this.#router?.kill();
    await this.#start();
  }

  async remove(): Promise<void> {
    await this.#router?.kill();
    await this.databases.remove();
  }

  get #topology(): string {
    return join(this.databases.folder, 'topology.yaml');
  }

  async #start(): Promise<void> {
    this.#router = await RouterProcess.start({
      database: this.databases.main.endpoint,
      topology: this.#topology,
      flags: ['--watch-progress-notify-interval', '200ms'],
      nodeFlags: mutationFlags(this.mutations),
    });
    this.#address = this.#router.address;
  }
}

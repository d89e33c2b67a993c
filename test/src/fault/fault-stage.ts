import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseProxy } from './database-proxy.js';
import { type Engine, type EngineServer, openEngine } from './engine-server.js';
import { COMMON, type KindBackend, kindTopology } from './kind-topology.js';
import { memoryFolder } from './memory-folder.js';
import { RouterProcess } from './router-process.js';
import type { Area } from '../consistency/history.js';

/** No rule takes it. */
const DEFAULT_KIND = 'orders';

export interface StagedBackend {
  readonly area: Area;
  /** Holds the clock, the leases and the writer's record of all. */
  readonly isDefault: boolean;
}

/** A backend that can be made to fail. */
export interface Target extends StagedBackend {
  readonly server: EngineServer;
  readonly proxy: DatabaseProxy;
}

/** Where the backend of each area is: a file, or a server of its own. */
export interface StagePlan {
  /** Of everything that no other area takes. */
  readonly main: Engine | 'sqlite';
  /** By the kind whose objects live in it. */
  readonly kinds: Readonly<Record<string, Engine | 'sqlite'>>;
  /** How long the router waits for a database. */
  readonly timeoutMs: number;
  /** The servers' data is on disks that can be filled up, where that is possible. */
  readonly isSmall?: boolean;
}

/** A router over several databases, each behind a proxy of its own. */
export class FaultStage {
  #router: RouterProcess | null = null;

  private constructor(
    private readonly folder: string,
    private readonly endpoint: string,
    private readonly flags: readonly string[],
    readonly backends: readonly StagedBackend[],
    readonly targets: readonly Target[],
  ) {}

  static async start({ main, kinds, timeoutMs, isSmall = false }: StagePlan): Promise<FaultStage> {
    // A SQLite file that waits for a disk at which others write is no file that is well.
    const folder = await memoryFolder('harikube-databases-');
    const backends: StagedBackend[] = [];
    const targets: Target[] = [];
    const rules: KindBackend[] = [];
    let endpoint = '';
    for (const [kind, engine] of [...Object.entries(kinds), [DEFAULT_KIND, main] as const]) {
      const isDefault = kind === DEFAULT_KIND;
      const backend = { area: { name: isDefault ? 'main' : kind, prefix: `${COMMON}${kind}/` }, isDefault };
      backends.push(backend);
      let address = `sqlite://${join(folder, `${kind}.db`)}`;
      if (engine !== 'sqlite') {
        const server = await openEngine(engine, isSmall);
        const proxy = await DatabaseProxy.start(server.server.port, server.wire);
        targets.push({ ...backend, server, proxy });
        address = server.endpoint(proxy.port);
      }
      if (isDefault) endpoint = address;
      else rules.push({ kind, endpoint: address });
    }
    await writeFile(join(folder, 'topology.yaml'), kindTopology(rules));
    const stage = new FaultStage(folder, endpoint, routerFlags(timeoutMs), backends, targets);
    await stage.startRouter();
    return stage;
  }

  get router(): RouterProcess {
    if (this.#router === null) throw new Error('no router runs');
    return this.#router;
  }

  get areas(): readonly Area[] {
    return this.backends.map(({ area }) => area);
  }

  async startRouter(): Promise<void> {
    this.#router = await RouterProcess.start({ database: this.endpoint, topology: join(this.folder, 'topology.yaml'), flags: this.flags });
  }

  async remove(): Promise<void> {
    await this.#router?.kill();
    for (const { proxy, server } of this.targets) {
      await proxy.close();
      await server.close();
    }
    await rm(this.folder, { recursive: true });
  }
}

function routerFlags(timeoutMs: number): string[] {
  return ['--backend-timeout', `${timeoutMs}ms`];
}

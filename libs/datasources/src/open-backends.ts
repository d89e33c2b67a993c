import { DataSourceRegistry } from './data-source-registry.js';
import { RefusedDatabaseError } from './dialects/sqlite/side-lock.js';
import { SqliteBackend } from './dialects/sqlite/sqlite-backend.js';
import { StoreThreads } from './dialects/sqlite/store-threads.js';
import { checkPlacement, type TopologyRecord } from './placement-check.js';
import type { Endpoint } from './topology/endpoint.js';
import { MAIN, type Topology } from './topology/topology.js';

export interface OpenBackendsOptions {
  /** The default database. */
  readonly endpoint: Endpoint;
  readonly topology: Topology;
  /** Rows of the log that one step of a compaction goes through, where a rule does not say. */
  readonly compactBatchSize: number;
  readonly onProblem: (backend: string, error: Error) => void;
}

/** The backends of a topology, opened and checked against what is recorded. */
export interface OpenedBackends {
  readonly main: SqliteBackend;
  /** In rule order. One that could not be opened is among them: it opens itself when it is claimed. */
  readonly others: readonly SqliteBackend[];
  /** To be recorded in the default backend before any request is served; null: already recorded. */
  readonly record: TopologyRecord | null;
  close(): Promise<void>;
}

/**
 * Opens the database of each rule and the default one. Throws when the default one cannot be opened, when another router
 * uses one of them, or when the topology would hide keys (PlacementError).
 */
export async function openBackends(options: OpenBackendsOptions): Promise<OpenedBackends> {
  const { endpoint, topology } = options;
  const threads = new StoreThreads();
  const registry = new DataSourceRegistry();
  const backends: SqliteBackend[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(backends.map((backend) => backend.close()));
    await registry.closeAll();
    await threads.close();
  };
  const backendOf = (
    name: string,
    { path, synchronous, busyTimeoutMs }: Endpoint,
    batchSize: number | undefined,
    expectedIdentity: string | null,
  ) => {
    const compactBatchSize = batchSize ?? options.compactBatchSize;
    const backend = new SqliteBackend(
      { name, file: path, synchronous, busyTimeoutMs, compactBatchSize, expectedIdentity },
      threads.add(),
      registry,
    );
    backends.push(backend);
    return backend;
  };
  try {
    const main = backendOf(MAIN, endpoint, undefined, null);
    await main.open();
    const recordedText = await main.appliedTopology();
    const recorded = recordedText === null ? null : (JSON.parse(recordedText) as TopologyRecord);
    const open = new Map<string, SqliteBackend>();
    const others: SqliteBackend[] = [];
    for (const rule of topology.rules) {
      const backend = backendOf(rule.name, rule.endpoint, rule.compaction.batchSize, recorded?.identities[rule.name] ?? null);
      others.push(backend);
      try {
        await backend.open();
        open.set(rule.name, backend);
      } catch (error) {
        if (error instanceof RefusedDatabaseError) throw error;
        options.onProblem(rule.name, error as Error);
      }
    }
    open.set(MAIN, main);
    const openFormer = async (name: string, path: string): Promise<SqliteBackend> => {
      const former = backendOf(name, { ...endpoint, path }, undefined, null);
      await former.open();
      return former;
    };
    const record = await checkPlacement({ topology, recorded, open, openFormer });
    return { main, others, record, close };
  } catch (error) {
    await close();
    throw error;
  }
}

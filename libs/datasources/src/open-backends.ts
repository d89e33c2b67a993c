import { RefusedDatabaseError } from './database-errors.js';
import type { SqliteBackend } from './dialects/sqlite/sqlite-backend.js';
import { type SqliteDatabases } from './dialects/sqlite/sqlite-databases.js';
import { checkPlacement } from './placement-check.js';
import type { Endpoint } from './topology/endpoint.js';
import { MAIN, type Topology } from './topology/topology.js';
import type { TopologyRecord } from './topology-record.js';

export interface OpenBackendsOptions {
  readonly databases: SqliteDatabases;
  /** The default database, open. */
  readonly main: SqliteBackend;
  readonly endpoint: Endpoint;
  readonly topology: Topology;
  readonly recorded: TopologyRecord | null;
  readonly onProblem: (backend: string, error: Error) => void;
}

/**
 * Opens the database of each rule and looks whether the topology may be in force. One that cannot be opened is among them: it opens itself
 * when it is claimed. Throws when another router uses one of them, or when the topology would hide keys (PlacementError).
 */
export async function openBackends(options: OpenBackendsOptions): Promise<ReadonlyMap<string, SqliteBackend>> {
  const { databases, main, endpoint, topology, recorded, onProblem } = options;
  const open = new Map<string, SqliteBackend>();
  const others = new Map<string, SqliteBackend>();
  for (const { name, endpoint: own, compaction } of topology.rules) {
    const backend = databases.get(name, own, compaction.batchSize, recorded?.identities[name] ?? null);
    others.set(name, backend);
    try {
      if (!backend.isOpen) await backend.open();
      open.set(name, backend);
    } catch (error) {
      if (error instanceof RefusedDatabaseError) throw error;
      onProblem(name, error as Error);
    }
  }
  open.set(MAIN, main);
  const openFormer = async (name: string, path: string): Promise<SqliteBackend> => {
    const former = databases.get(name, { ...endpoint, path }, undefined, null);
    if (!former.isOpen) await former.open();
    return former;
  };
  await checkPlacement({ topology, recorded, open, openFormer });
  return others;
}

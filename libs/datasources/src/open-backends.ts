import type { Database } from './database.js';
import { RefusedDatabaseError } from './database-errors.js';
import type { Databases } from './databases.js';
import { checkPlacement } from './placement-check.js';
import { MAIN, type Topology, type TopologyOptions } from './topology/topology.js';
import type { TopologyRecord } from './topology-record.js';

export interface OpenBackendsOptions {
  readonly databases: Databases;
  /** The default database, open. */
  readonly main: Database;
  readonly topology: Topology;
  readonly recorded: TopologyRecord | null;
  readonly topologyOptions: TopologyOptions;
  readonly onProblem: (backend: string, error: Error) => void;
}

/**
 * Opens the database of each rule and looks whether the topology may be in force. One that cannot be opened is among them: it opens itself
 * when it is claimed. Throws when another router uses one of them, or when the topology would hide keys (PlacementError).
 */
export async function openBackends(options: OpenBackendsOptions): Promise<ReadonlyMap<string, Database>> {
  const { databases, main, topology, recorded, topologyOptions, onProblem } = options;
  const open = new Map<string, Database>();
  const others = new Map<string, Database>();
  for (const rule of topology.rules) others.set(rule.name, await databases.get(rule, recorded?.identities[rule.name] ?? null));
  const opened = await Promise.allSettled(
    [...others].map(async ([name, database]) => {
      await database.open();
      open.set(name, database);
    }),
  );
  for (const [i, name] of [...others.keys()].entries()) {
    const result = opened[i];
    if (result?.status !== 'rejected') continue;
    if (result.reason instanceof RefusedDatabaseError) throw result.reason;
    onProblem(name, result.reason as Error);
  }
  open.set(MAIN, main);
  await checkPlacement({ topology, recorded, topologyOptions, open, databases });
  return others;
}

import {
  parseTopologyDocuments,
  type ParseTopologyOptions,
  PlacementError,
  readTopologyText,
  TopologyError,
  TopologyManager,
  type TopologyManagerOptions,
  type StartFrom,
  type TopologySource,
  TopologySourceError,
  topologySourceName,
  topologyVersion,
} from '@harikube/datasources';

export interface OpenStoreOptions {
  /** Null: every key lives in the default database. */
  readonly source: TopologySource | null;
  readonly parse: ParseTopologyOptions;
  readonly manager: Omit<TopologyManagerOptions, 'startFrom' | 'topologyOptions'>;
}

export interface OpenedStore {
  readonly manager: TopologyManager;
  /** Of what the source held when it was read; null: it has not been read, or what it held is not in force. */
  readonly sourceVersion: string | null;
}

/**
 * Opens the store with what the source of the topology holds. What was in force last stays in force when the source cannot be read, and when
 * what it holds cannot be used; then the loop that follows the source says what is wrong. Throws when nothing was in force: a store
 * without rules would take keys that belong elsewhere. A router that has waited for another one starts with what was in force there: the
 * source may have changed since it was read.
 */
export async function openStore({ source, parse, manager }: OpenStoreOptions): Promise<OpenedStore> {
  let isOutdated = false;
  const open = (startFrom: StartFrom): Promise<TopologyManager> =>
    TopologyManager.open({
      ...manager,
      topologyOptions: parse,
      startFrom: (hasWaited) => {
        isOutdated = hasWaited && source !== null;
        return isOutdated ? 'recorded' : startFrom;
      },
    });
  // It is read through an API server whose data is in this store.
  if (source?.type === 'secret') return { manager: await open('recorded'), sourceVersion: null };
  if (source === null) {
    return { manager: await open({ topology: parseTopologyDocuments([], parse), version: topologyVersion([]) }), sourceVersion: null };
  }
  try {
    const text = await readTopologyText(source);
    const topology = parseTopologyDocuments([{ name: topologySourceName(source), text }], parse);
    const version = topologyVersion([{ name: '', text }]);
    const opened = await open({ topology, version });
    return { manager: opened, sourceVersion: isOutdated ? null : version };
  } catch (error) {
    if (error instanceof PlacementError) return { manager: await open('recorded'), sourceVersion: null };
    if (!(error instanceof TopologyError || error instanceof TopologySourceError)) throw error;
    const recorded = await open('recorded');
    if (recorded.topology.rules.length > 0) return { manager: recorded, sourceVersion: null };
    await recorded.close();
    throw error;
  }
}

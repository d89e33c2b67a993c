import { parseEndpoint } from './topology/endpoint.js';
import { type AppliedTopology, Topology, type TopologyOptions, type TopologyRule } from './topology/topology.js';

/** Of a rule, what does not place keys. Credentials included: it lies beside the Secrets of the cluster. */
type RuleSettings = Pick<TopologyRule, 'dataSourceName' | 'tls' | 'pool' | 'compaction' | 'disableStorageLevelFiltering'>;

/** A topology that was in force, for as long as reads of that time are answered. */
export interface FormerTopology extends AppliedTopology {
  /** The last revision at which it was in force. */
  readonly until: string;
}

/** What is recorded in the default backend once a topology is in force. */
export interface TopologyRecord extends AppliedTopology {
  /** Identity of each backend's database, by name. */
  readonly identities: Readonly<Record<string, string>>;
  readonly version?: string;
  readonly settings?: Readonly<Record<string, RuleSettings>>;
  /** The oldest first. */
  readonly former?: readonly FormerTopology[];
  /** Backends whose keys may be lost, by name, with how many there were. */
  readonly abandoned?: Readonly<Record<string, number>>;
  /** It was about to come into force; whether it did, only the keys tell: if they do not fit it, the last of `former` was in force. */
  readonly isUnsettled?: boolean;
}

export function settingsOf(topology: Topology): Record<string, RuleSettings> {
  return Object.fromEntries(
    topology.rules.map(({ name, dataSourceName, tls, pool, compaction, disableStorageLevelFiltering }) => [
      name,
      { dataSourceName, tls, pool, compaction, disableStorageLevelFiltering },
    ]),
  );
}

/** The topology as it was before it was recorded. */
export function recordedTopology(record: AppliedTopology & Pick<TopologyRecord, 'settings'>, options: TopologyOptions): Topology {
  const rules = record.rules.map(({ name, endpoint, matcher }): TopologyRule => {
    const settings = record.settings?.[name] ?? {
      dataSourceName: endpoint,
      tls: null,
      pool: {},
      compaction: {},
      disableStorageLevelFiltering: false,
    };
    const parsed = parseEndpoint(settings.dataSourceName);
    if (parsed.scheme !== 'sqlite') return { name, matcher, ...settings, endpoint: parsed, line: 0 };
    // A path in the data source name is relative to where the topology was read; the recorded one is absolute.
    const path = endpoint.replace(/^sqlite:\/\//, '');
    return { name, matcher, ...settings, endpoint: { ...parsed, path }, line: 0 };
  });
  return new Topology(rules, { ...options, etcdPrefix: record.etcdPrefix });
}

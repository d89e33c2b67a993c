import { formatGoDuration } from '@harikube/platform';
import { stringify } from 'yaml';
import { redactEndpoint } from './endpoint.js';
import type { Matcher } from './key-rule.js';
import type { Topology, TopologyRule } from './topology.js';

/**
 * A topology as one YAML document in the form that it is written in, without credentials: for showing it. Read again it is
 * the same topology, as long as there was nothing to hide.
 */
export function redactedTopologyText(topology: Topology): string {
  return stringify({ backends: topology.rules.map(backend) }, { lineWidth: 0 });
}

function backend({ name, dataSourceName, matcher, tls, pool, compaction, disableStorageLevelFiltering }: TopologyRule): object {
  const connectionPool = given({
    maxIdle: pool.maxIdle,
    maxOpen: pool.maxOpen,
    maxLifeTime: duration(pool.maxLifeTimeMs),
    maxIdleLifeTime: duration(pool.maxIdleLifeTimeMs),
  });
  const backendTls = given({
    caFile: tls?.caFile ?? undefined,
    certFile: tls?.certFile ?? undefined,
    keyFile: tls?.keyFile ?? undefined,
    skipVerify: tls?.skipVerify === true ? true : undefined,
  });
  return given({
    name,
    endpoint: redactEndpoint(dataSourceName),
    ...matcherFields(matcher),
    backendTLS: Object.keys(backendTls).length > 0 ? backendTls : undefined,
    connectionPool: Object.keys(connectionPool).length > 0 ? connectionPool : undefined,
    compactInterval: duration(compaction.intervalMs),
    compactIntervalJitter: compaction.intervalJitterPercent,
    compactTimeout: duration(compaction.timeoutMs),
    compactMinRetain: compaction.minRetain,
    compactBatchSize: compaction.batchSize,
    disableStorageLevelFiltering: disableStorageLevelFiltering ? true : undefined,
  });
}

function matcherFields(matcher: Matcher): object {
  const { type, ...fields } = matcher;
  return { [type]: fields };
}

function duration(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : formatGoDuration(milliseconds);
}

function given(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

import type { KeyRange } from '@harikube/keyspace';
import { endpointIdentity } from './endpoint.js';
import { intersect, type KeyInterval } from './key-interval.js';
import { compileRule } from './key-rule.js';
import type { Topology, TopologyRule } from './topology.js';

/** A rule as it counts for the placement of keys: what it takes, and the database behind it, whatever its name. */
interface PlacingRule {
  readonly id: string;
  readonly extent: readonly KeyInterval[];
}

/**
 * Ranges outside which every key has the same database with both topologies. A key's database changes only with a rule that is in one of
 * them alone, or between two rules that both take it and whose order has changed. They do not overlap.
 */
export function affectedRanges(before: Topology, after: Topology): KeyRange[] {
  const old = placingRules(before);
  const now = placingRules(after);
  const positions = new Map(now.map(({ id }, position) => [id, position]));
  const staying = old.filter(({ id }) => positions.has(id));
  const ids = new Set(staying.map(({ id }) => id));
  const affected = [...old, ...now].filter(({ id }) => !ids.has(id)).flatMap(({ extent }) => extent);
  staying.forEach((first, i) => {
    for (const second of staying.slice(i + 1)) {
      if ((positions.get(first.id) ?? 0) < (positions.get(second.id) ?? 0)) continue;
      for (const a of first.extent)
        for (const b of second.extent) affected.push(...[intersect(a, b)].filter((shared) => shared !== undefined));
    }
  });
  return disjoint(affected).map(({ from, to }) => ({
    start: Buffer.from(from, 'latin1'),
    end: to === null ? null : Buffer.from(to, 'latin1'),
    single: false,
  }));
}

function placingRules({ rules, etcdPrefix }: Topology): PlacingRule[] {
  return rules.map(({ matcher, endpoint }: TopologyRule) => ({
    id: JSON.stringify([matcher, endpointIdentity(endpoint)]),
    extent: compileRule(matcher, etcdPrefix).extent,
  }));
}

/** The same keys in intervals of which no two meet. */
function disjoint(intervals: readonly KeyInterval[]): KeyInterval[] {
  const merged: KeyInterval[] = [];
  for (const interval of intervals.toSorted((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))) {
    const last = merged.at(-1);
    if (last === undefined || (last.to !== null && last.to < interval.from)) merged.push(interval);
    else if (last.to !== null && (interval.to === null || interval.to > last.to))
      merged[merged.length - 1] = { from: last.from, to: interval.to };
  }
  return merged;
}

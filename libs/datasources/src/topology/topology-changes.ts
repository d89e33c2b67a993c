import { isDeepStrictEqual } from 'node:util';
import type { RouterTopologyChange } from '@harikube/platform';
import { endpointIdentity, endpointLocation, redactEndpoint } from './endpoint.js';
import { matcherText } from './key-rule.js';
import type { Topology, TopologyRule } from './topology.js';

/** One difference between two topologies. */
export type TopologyChange = RouterTopologyChange;

/** What the new topology has that the old one has not, in its order; then what is gone. */
export function topologyChanges(before: Topology, after: Topology): TopologyChange[] {
  const changes: TopologyChange[] = [];
  const partners = partnersOf(before, after);
  const moved = movedRules(before, after, partners);
  for (const rule of after.rules) {
    const old = partners.get(rule);
    const add = (kind: TopologyChange['kind'], detail: string): void => void changes.push({ kind, backend: rule.name, detail });
    if (old === undefined) {
      add('add', `${matcherText(rule.matcher)} in ${redactEndpoint(rule.dataSourceName)}`);
      continue;
    }
    if (old.name !== rule.name) add('rename', `it was "${old.name}"`);
    if (!isDeepStrictEqual(old.matcher, rule.matcher)) add('match', `${matcherText(rule.matcher)}; it was ${matcherText(old.matcher)}`);
    if (moved.has(rule)) add('reorder', `rule ${after.rules.indexOf(rule) + 1}; it was rule ${before.rules.indexOf(old) + 1}`);
    const setting = settingChange(old, rule);
    if (setting !== null) add('reconfigure', setting);
  }
  const kept = new Set(partners.values());
  for (const rule of before.rules) {
    if (!kept.has(rule))
      changes.push({
        kind: 'remove',
        backend: rule.name,
        detail: `${matcherText(rule.matcher)} in ${redactEndpoint(rule.dataSourceName)}`,
      });
  }
  return changes;
}

/** The old rule of each new one: the one with the same database, or else the one with the same name. */
function partnersOf(before: Topology, after: Topology): Map<TopologyRule, TopologyRule> {
  const byDatabase = new Map(before.rules.map((rule) => [endpointIdentity(rule.endpoint), rule]));
  const partners = new Map<TopologyRule, TopologyRule>();
  for (const rule of after.rules) {
    const old = byDatabase.get(endpointIdentity(rule.endpoint));
    if (old !== undefined) partners.set(rule, old);
  }
  const taken = new Set(partners.values());
  for (const rule of after.rules) {
    const old = before.rules.find(({ name }) => name === rule.name);
    if (!partners.has(rule) && old !== undefined && !taken.has(old)) partners.set(rule, old);
  }
  return partners;
}

/** The fewest rules whose moving makes the old order the new one. */
function movedRules(before: Topology, after: Topology, partners: ReadonlyMap<TopologyRule, TopologyRule>): Set<TopologyRule> {
  const common = after.rules.filter((rule) => partners.has(rule));
  const positions = common.map((rule) => before.rules.indexOf(partners.get(rule) ?? rule));
  // Longest run of rules that keep their order, ending at each rule.
  const runs: number[][] = [];
  positions.forEach((position, i) => {
    const best = runs.filter((_, j) => (positions[j] ?? 0) < position).reduce((a, b) => (b.length > a.length ? b : a), []);
    runs.push([...best, i]);
  });
  const longest = runs.reduce((a, b) => (b.length > a.length ? b : a), []);
  return new Set(common.filter((_, i) => !longest.includes(i)));
}

function settingChange(old: TopologyRule, now: TopologyRule): string | null {
  const details: string[] = [];
  if (old.dataSourceName !== now.dataSourceName) {
    const [was, is] = [redactEndpoint(old.dataSourceName), redactEndpoint(now.dataSourceName)];
    details.push(was === is ? 'its credentials' : `endpoint ${is}; it was ${was}`);
  } else if (!isDeepStrictEqual(old.endpoint, now.endpoint)) {
    details.push(`its database is ${endpointLocation(now.endpoint)}; it was ${endpointLocation(old.endpoint)}`);
  }
  if (!isDeepStrictEqual(old.tls, now.tls)) details.push('backendTLS');
  if (!isDeepStrictEqual(old.pool, now.pool)) details.push('connectionPool');
  if (!isDeepStrictEqual(old.compaction, now.compaction)) details.push('compaction');
  if (old.disableStorageLevelFiltering !== now.disableStorageLevelFiltering) details.push('disableStorageLevelFiltering');
  return details.length > 0 ? details.join('; ') : null;
}

import { describe, expect, it } from '@jest/globals';
import { contains } from '@harikube/keyspace';
import { affectedRanges } from './affected-ranges.js';
import { endpointLocation } from './endpoint.js';
import { parseTopology } from './parse-topology.js';
import type { Topology } from './topology.js';
import { topologyChanges } from './topology-changes.js';

interface Rule {
  readonly name: string;
  readonly endpoint: string;
  readonly [matcher: string]: unknown;
}

const USERS = { customresource: { group: 'shop.example.com', kind: 'users' } };
const ORDERS = { customresource: { group: 'shop.example.com', kind: 'orders' } };
const TEAM = { namespace: { namespace: 'team' } };
const EVEN = { regexp: { prefix: '^/registry/shop.example.com/', key: '[02468]$' } };

function topology(...backends: readonly Rule[]): Topology {
  return parseTopology(JSON.stringify({ backends }), 'topology.yaml');
}

function rule(name: string, matcher: object, file = name, parameters = ''): Rule {
  return { name, endpoint: `sqlite:///data/${file}.db${parameters}`, ...matcher };
}

function changes(before: Topology, after: Topology): string[] {
  return topologyChanges(before, after).map(({ kind, backend, detail }) => `${kind} ${backend}: ${detail}`);
}

describe('the changes between two topologies', () => {
  const before = topology(rule('users', USERS), rule('orders', ORDERS), rule('team', TEAM));

  it('are none when nothing is different', () => {
    expect(changes(before, topology(rule('users', USERS), rule('orders', ORDERS), rule('team', TEAM)))).toEqual([]);
  });

  it('tell what comes and what goes', () => {
    expect(changes(before, topology(rule('users', USERS), rule('even', EVEN), rule('team', TEAM)))).toEqual([
      'add even: regexp prefix=^/registry/shop.example.com/ key=[02468]$ in sqlite:///data/even.db',
      'remove orders: customresource group=shop.example.com kind=orders in sqlite:///data/orders.db',
    ]);
  });

  it('know a database again under another name, and a name with another database', () => {
    const after = topology(rule('people', USERS, 'users'), rule('orders', ORDERS, 'elsewhere'), rule('team', TEAM));
    expect(changes(before, after)).toEqual([
      'rename people: it was "users"',
      'reconfigure orders: endpoint sqlite:///data/elsewhere.db; it was sqlite:///data/orders.db',
    ]);
  });

  it('name the fewest rules that have moved', () => {
    const after = topology(rule('team', TEAM), rule('users', USERS), rule('orders', ORDERS));
    expect(changes(before, after)).toEqual(['reorder team: rule 1; it was rule 3']);
  });

  it('tell what else is set', () => {
    const after = topology(
      rule('users', { ...USERS, compactMinRetain: 5 }, 'users', '?_synchronous=NORMAL'),
      rule('orders', { customresource: { group: 'shop.example.com', kind: 'baskets' } }),
      rule('team', TEAM),
    );
    expect(changes(before, after)).toEqual([
      'reconfigure users: endpoint sqlite:///data/users.db?_synchronous=NORMAL; it was sqlite:///data/users.db; compaction',
      'match orders: customresource group=shop.example.com kind=baskets; it was customresource group=shop.example.com kind=orders',
    ]);
  });
});

describe('the ranges that a change affects', () => {
  const rules = [
    rule('users', USERS),
    rule('orders', ORDERS),
    rule('team', TEAM),
    rule('even', EVEN),
    rule('prefix', { prefix: { prefix: '/registry/shop.example.com/users/team/' } }),
    rule('elsewhere', USERS, 'elsewhere'),
  ];
  const keys = ['users', 'orders', 'pods']
    .flatMap((kind) => ['team', 'other'].flatMap((namespace) => [0, 1].map((name) => `shop.example.com/${kind}/${namespace}/${name}`)))
    .concat(['health', 'namespaces/team', 'pods/team/0', 'pods/other/0'])
    .map((name) => Buffer.from(`/registry/${name}`));

  /** Every order of at most three of the rules that is a topology. */
  function* topologies(): Generator<Topology, void, void> {
    const orders = [[], ...rules.map((first) => [first])] as Rule[][];
    for (const first of rules) for (const second of rules) if (first !== second) orders.push([first, second]);
    for (const order of orders) {
      try {
        yield topology(...order);
      } catch {
        // One of the rules would never match.
      }
    }
  }

  function databaseOf(topology: Topology, key: Buffer): string {
    const name = topology.route(key);
    const rule = topology.rules.find((candidate) => candidate.name === name);
    return rule === undefined ? 'main' : endpointLocation(rule.endpoint);
  }

  it('hold every key whose database changes', () => {
    const all = [...topologies()];
    let moved = 0;
    for (const before of all) {
      for (const after of all) {
        const affected = affectedRanges(before, after);
        for (const key of keys) {
          if (databaseOf(before, key) === databaseOf(after, key)) continue;
          moved++;
          if (!affected.some((range) => contains(range, key))) throw new Error(`${key.toString()} is missed`);
        }
      }
    }
    expect([all.length > 25, moved > 1000]).toEqual([true, true]);
  });

  it('are none when rules that share no key change their places or names', () => {
    const before = topology(rule('users', USERS), rule('orders', ORDERS));
    expect(affectedRanges(before, topology(rule('orders', ORDERS), rule('people', USERS, 'users')))).toEqual([]);
  });

  it('do not overlap', () => {
    const after = topology(rule('prefix', { prefix: { prefix: '/registry/shop.example.com/users/team/' } }), rule('users', USERS));
    const texts = affectedRanges(topology(), after).map(({ start, end }) => `${start.toString()} ${end?.toString()}`);
    expect(texts).toEqual([
      '/registry/shop.example.com/users /registry/shop.example.com/users\0',
      '/registry/shop.example.com/users/ /registry/shop.example.com/users0',
    ]);
  });
});

import { existsSync } from 'node:fs';
import { type KeyRange, keyOf, messageOf, recordsOf } from '@harikube/keyspace';
import type { Database } from './database.js';
import type { Databases } from './databases.js';
import { endpointIdentity, endpointLocation } from './topology/endpoint.js';
import { MAIN, type Topology, type TopologyOptions, type TopologyRule } from './topology/topology.js';
import { recordedTopology, type TopologyRecord } from './topology-record.js';

/** Keys that are read at a time. */
const PAGE = 10_000;
const EVERYTHING: KeyRange = { start: Buffer.alloc(0), end: null, single: false };

/** Putting the topology in force would hide keys; nothing was changed. */
export class PlacementError extends Error {
  override readonly name = 'PlacementError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
  constructor(readonly problems: readonly string[]) {
    super(
      `the topology has changed in a way that would hide keys:\n${problems.map((problem) => `  - ${problem}\n`).join('')}` +
        'nothing was changed; start with the old topology, or change it so that every key stays where it is (keys cannot be moved in this version)',
    );
  }
}

export interface PlacementOptions {
  readonly topology: Topology;
  readonly recorded: TopologyRecord | null;
  /** Backends that are open, the default one among them, by name. */
  readonly open: ReadonlyMap<string, Database>;
  readonly topologyOptions: TopologyOptions;
  /** For those that the topology no longer names. */
  readonly databases: Databases;
}

/**
 * Compares a topology with the recorded one, and on a difference looks at every key: none may live in a backend to which
 * the rules do not lead. Throws PlacementError.
 */
export async function checkPlacement(options: PlacementOptions): Promise<void> {
  const { topology, recorded, open } = options;
  if (recorded !== null && isSettled(recorded, topology, open)) return;
  const problems = recorded === null ? [] : await formerBackends(options, recorded);
  for (const [name, backend] of open) problems.push(...(await misplaced(topology, name, backend)));
  for (const name of topology.registeredNames()) {
    if (recorded !== null && !open.has(name))
      problems.push(`backend "${name}" cannot be opened, so it is not known whether its keys stay where they are`);
  }
  if (problems.length > 0) throw new PlacementError(problems);
}

/** The topology is the recorded one, with the same databases, and it is certain that it was in force. */
function isSettled(recorded: TopologyRecord, topology: Topology, open: PlacementOptions['open']): boolean {
  const { etcdPrefix, rules, identities, isUnsettled = false } = recorded;
  const isSame = JSON.stringify({ etcdPrefix, rules }) === JSON.stringify(topology.toJSON());
  return isSame && !isUnsettled && [...open].every(([name, { identity }]) => identities[name] === identity);
}

/** Backends that were in the recorded topology and are not in this one: their keys would be out of reach. */
async function formerBackends({ open, databases, topologyOptions }: PlacementOptions, recorded: TopologyRecord): Promise<string[]> {
  const problems: string[] = [];
  const before = recorded.isUnsettled === true ? recorded.former?.at(-1) : undefined;
  const rules = [recorded, ...(before === undefined ? [] : [before])].flatMap((each) => recordedTopology(each, topologyOptions).rules);
  const present = new Set([...open.values()].map(({ identity }) => identity));
  const looked = new Set<Database | undefined>(open.values());
  const places = new Set<string>();
  for (const rule of rules) {
    const identity = recorded.identities[rule.name];
    if (identity === undefined || present.has(identity) || recorded.abandoned?.[rule.name] !== undefined) continue;
    const place = endpointIdentity(rule.endpoint);
    if (looked.has(databases.find(rule.endpoint)) || places.has(place)) continue;
    places.add(place);
    const problem = await keysOfFormer(rule, databases);
    if (problem !== null) problems.push(problem);
  }
  return problems;
}

async function keysOfFormer(rule: TopologyRule, databases: Databases): Promise<string | null> {
  const { name, endpoint } = rule;
  const location = endpointLocation(endpoint);
  if (endpoint.scheme === 'sqlite' && !existsSync(endpoint.path))
    return `backend "${name}" is gone from the topology, and its file ${location} is not there to see whether it holds keys`;
  const former = await databases.get(rule, null);
  try {
    await former.open();
    const query = { range: EVERYTHING, revision: 0n, limit: 0, keysOnly: false, countOnly: true, count: true };
    const count = (await former.range(query)).count ?? 0;
    return count > 0 ? `backend "${name}" is gone from the topology, but ${location} holds ${keys(count)}` : null;
  } catch (error) {
    if (endpoint.scheme === 'sqlite') throw error;
    return `backend "${name}" is gone from the topology, and it cannot be seen whether it holds keys: ${messageOf(error)}`;
  } finally {
    await former.close();
  }
}

async function misplaced(topology: Topology, name: string, backend: Database): Promise<string[]> {
  const found = new Map<string, { count: number; example: string }>();
  let start = EVERYTHING.start;
  for (;;) {
    const range = { ...EVERYTHING, start };
    const answer = await backend.range({ range, revision: 0n, limit: PAGE, keysOnly: true, countOnly: false, count: false });
    const blocks = [...answer.blocks];
    if (answer.rest !== undefined) for await (const block of answer.rest) blocks.push(block);
    for (const block of blocks) {
      for (const record of recordsOf(block)) {
        const key = keyOf(record);
        start = key;
        const target = topology.route(key);
        if (target === name) continue;
        const entry = found.get(target);
        if (entry === undefined) found.set(target, { count: 1, example: key.toString() });
        else entry.count++;
      }
    }
    if (!answer.more) break;
    start = Buffer.concat([start, Buffer.from([0])]);
  }
  return [...found].map(([target, { count, example }]) => {
    const rule = topology.rules.find((candidate) => candidate.name === target);
    const where = rule === undefined || rule.line === 0 ? '' : ` (line ${rule.line})`;
    const cause = target === MAIN ? 'no rule leads to them any more' : `rule "${target}"${where} captures them`;
    return `${keys(count)} in backend "${name}" would be hidden, for example ${example}: ${cause}`;
  });
}

function keys(count: number): string {
  return count === 1 ? '1 key' : `${count} keys`;
}

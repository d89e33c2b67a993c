import { expect } from '@jest/globals';
import type { Topology } from '@harikube/datasources';
import {
  CompactedError,
  decodeKeyValue,
  type Keyspace,
  keyRange,
  type KeyRange,
  prefixRange,
  type RangeRequest,
  type RangeResult,
  type Revision,
  singleKey,
  UnsupportedError,
} from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import { type AcknowledgedWrite, HistoryChecker, type ListedState, type WatchedEvent } from './history-checker.js';
import { deleteOp, getOp, kvsOf, modIs, putOp, watchOf } from './keyspace-harness.js';
import type { Random } from './random.js';
import { BASE, databaseOf, keyAtRandom, KINDS, NAMES, NAMESPACES, type RandomTopology } from './random-topology.js';
import { WatchRecorder } from './watch-recorder.js';

/** A keyspace whose topology can be changed. */
export interface ReroutedStore {
  readonly keyspace: Keyspace;
  readonly topology: Topology;
  /** The number of keys that stand against it; 0: it is in force. Rejects for any other reason. */
  apply(topology: Topology): Promise<number>;
  /** Every change that the databases hold, in the order of revisions. */
  truth(): Promise<WatchedEvent[]>;
}

export interface RerouteStory {
  readonly random: Random;
  /** Changes of the topology that take place; others are refused meanwhile. */
  readonly changes: number;
  readonly compacts: boolean;
}

export interface StoryOutcome {
  readonly applied: number;
  readonly refused: number;
  readonly writes: number;
  readonly lists: number;
  readonly watches: number;
}

const EVERYTHING: KeyRange = { start: Buffer.from([0]), end: null, single: false };

/** How many live keys would have to move. Holds for a store in which nothing else goes on. */
export async function keysToMove(store: ReroutedStore, topology: Topology): Promise<number> {
  const kvs = await kvsOf(await store.keyspace.range(rangeOf(EVERYTHING)));
  return kvs.filter(({ key }) => databaseOf(store.topology, key) !== databaseOf(topology, key)).length;
}

function rangeOf(range: KeyRange, options: Partial<RangeRequest> = {}): RangeRequest {
  return { type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false, ...options };
}

interface Holder {
  readonly name: string;
  readonly covers: (key: string) => boolean;
  readonly from: Revision;
  readonly prevKv: boolean;
  readonly recorder: WatchRecorder;
  readonly drained: () => void;
}

/**
 * Clients that write, read, list, walk in pages and watch at random and at once, while the topology changes again and again. Whatever they
 * saw is then compared with the one story that the store tells of itself.
 */
export async function tellRerouteStory(
  store: ReroutedStore,
  topologies: RandomTopology,
  { random, changes, compacts }: RerouteStory,
): Promise<StoryOutcome> {
  const { keyspace } = store;
  const everything = new WatchRecorder();
  const all = keyspace.watch(everything);
  all.create(watchOf('', { prevKv: true, startRevision: 1n }));
  const writes: AcknowledgedWrite[] = [];
  const lists: ListedState[] = [];
  const watches: Holder[] = [];
  let tick = 0;
  let highestSeen = 0n;
  let isDone = false;
  const outcome = { applied: 0, refused: 0 };

  const prefixAtRandom = (): string => {
    const kind = `${BASE}${random.pick(KINDS)}/`;
    return random.pick(['', BASE, kind, `${kind}${random.pick(NAMESPACES)}/`, `${kind}${random.pick(NAMESPACES)}/${random.pick(NAMES)}`]);
  };

  const acknowledge = (revision: Revision, key: string, value: string | null, startedAt: number): void => {
    writes.push({ revision, key, value, startedAt, endedAt: tick++ });
    if (revision > highestSeen) highestSeen = revision;
  };

  const watch = (): void => {
    const prefix = prefixAtRandom();
    const recorder = new WatchRecorder();
    const stream = keyspace.watch(recorder);
    const { revision: current, compactRevision } = keyspace.status();
    const oldest = Number(current - compactRevision);
    const startRevision = random.chance(0.4) ? 0n : current - BigInt(random.below(Math.min(oldest, 300))) + BigInt(random.below(5));
    const prevKv = random.chance(0.5);
    stream.create(watchOf(prefix, { startRevision, prevKv, progressNotify: random.chance(0.3) }));
    const [created] = recorder.messages;
    const from = startRevision > 0n ? startRevision : (created?.type === 'created' ? created.revision : 0n) + 1n;
    const name = `watch ${watches.length} of ${prefix} from ${from}`;
    watches.push({ name, covers: (key) => key.startsWith(prefix), from, prevKv, recorder, drained: () => stream.drained() });
    recorder.onMessage = () => {
      recorder.isSlow = random.chance(0.1);
      if (random.chance(0.1)) setImmediate(() => stream.requestProgress());
      if (!recorder.isSlow) return;
      setImmediate(() => {
        recorder.isSlow = false;
        stream.drained();
      });
    };
  };

  const noteList = async (
    result: RangeResult,
    revision: Revision,
    prefix: string,
    limit: number,
    seen: Revision,
  ): Promise<Buffer | null> => {
    expect(result.revision).toBeGreaterThanOrEqual(seen);
    const kvs = await kvsOf(result);
    const shown = kvs.map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision }));
    const at = revision > 0n ? revision : result.revision;
    lists.push({ revision: at, covers: (key) => key.startsWith(prefix), kvs: shown, count: result.count, limit });
    return result.more ? (kvs.at(-1)?.key ?? null) : null;
  };

  const list = async (): Promise<void> => {
    const seen = highestSeen;
    const prefix = prefixAtRandom();
    const isSingle = prefix.length > 0 && !prefix.endsWith('/');
    const range = isSingle ? singleKey(bytesOf(prefix)) : watchOf(prefix).range;
    const revision = random.chance(0.4) && seen > 1n ? seen - BigInt(random.below(Math.min(200, Number(seen) - 1))) : 0n;
    await noteList(await keyspace.range(rangeOf(range, { revision })), revision, prefix, 0, seen);
  };

  /** A list in pages at the revision of the first one, as kube-apiserver does it. */
  const walk = async (): Promise<void> => {
    const prefix = random.pick(['', BASE, `${BASE}${random.pick(KINDS)}/`]);
    const { start, end } = watchOf(prefix).range;
    const seen = highestSeen;
    const pages: { key: string; value: string; modRevision: Revision }[] = [];
    let revision = 0n;
    let left: number | null = null;
    for (let from = start; ;) {
      const limit = 1 + random.below(4);
      const result = await keyspace.range(rangeOf({ start: from, end, single: false }, { limit, revision }));
      const kvs = await kvsOf(result);
      if (revision === 0n) {
        expect(result.revision).toBeGreaterThanOrEqual(seen);
        revision = result.revision;
      } else expect(result.count).toBe(left);
      left = result.count - kvs.length;
      pages.push(...kvs.map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision })));
      const last = kvs.at(-1);
      if (!result.more || last === undefined) break;
      from = Buffer.concat([last.key, Buffer.from([0])]);
      if (random.chance(0.5)) await new Promise((resolve) => setTimeout(resolve, random.below(5)));
    }
    lists.push({ revision, covers: (key) => key.startsWith(prefix), kvs: pages });
  };

  const update = async (key: string, value: string): Promise<void> => {
    const seen = highestSeen;
    const read = await keyspace.range(rangeOf(singleKey(bytesOf(key))));
    expect(read.revision).toBeGreaterThanOrEqual(seen);
    const [kv] = await kvsOf(read);
    const found = kv === undefined ? [] : [{ key, value: kv.value.toString(), modRevision: kv.modRevision }];
    lists.push({ revision: read.revision, covers: (candidate) => candidate === key, kvs: found });
    const startedAt = tick++;
    const request = {
      type: 'txn',
      compares: [modIs(key, kv?.modRevision ?? 0n)],
      success: [putOp(key, value)],
      failure: [getOp(key)],
    } as const;
    const result = await keyspace.txn(request);
    if (result.succeeded) {
      acknowledge(result.revision, key, value, startedAt);
      return;
    }
    const [response] = result.responses;
    const [record] = response?.type === 'range' ? response.kvs : [];
    const current = record === undefined ? null : decodeKeyValue(record);
    expect(current?.modRevision ?? 0n).not.toBe(kv?.modRevision ?? 0n);
    const shown = current === null ? [] : [{ key, value: current.value.toString(), modRevision: current.modRevision }];
    lists.push({ revision: result.revision, covers: (candidate) => candidate === key, kvs: shown });
  };

  const remove = async (key: string): Promise<void> => {
    const startedAt = tick++;
    const { revision, deleted } = await keyspace.deleteRange({ type: 'delete', range: singleKey(bytesOf(key)), prevKv: false });
    if (deleted === 1) acknowledge(revision, key, null, startedAt);
  };

  const leased = async (key: string): Promise<void> => {
    const { id } = await keyspace.grantLease(60n, 0n);
    await keyspace.put(putOp(key, 'leased', { lease: id }));
    await keyspace.revokeLease(id);
  };

  const act = async (what: number, id: string): Promise<void> => {
    const key = keyAtRandom(random);
    if (what < 4) {
      const startedAt = tick++;
      const value = `${id} ${'x'.repeat(random.chance(0.05) ? 40_000 : random.below(300))}`;
      acknowledge((await keyspace.put(putOp(key, value))).revision, key, value, startedAt);
    } else if (what < 7) await update(key, `${id} update`);
    else if (what < 11) await remove(key);
    else if (what < 12) await keyspace.deleteRange({ type: 'delete', range: prefixRange(bytesOf(key.slice(0, -1))), prevKv: false });
    else if (what < 13) {
      const other = key.slice(0, -1);
      await keyspace.txn({ type: 'txn', compares: [], success: [putOp(`${other}0`, id), deleteOp(`${other}1`)], failure: [] });
    } else if (what < 14) await leased(key);
    else if (what < 17) await list();
    else if (what < 18) await walk();
    else if (watches.length < 150) watch();
  };

  const client = async (id: number): Promise<void> => {
    for (let i = 0; !isDone; i++) {
      try {
        await act(random.below(19), `${id}-${i}`);
      } catch (error) {
        // A txn or a DeleteRange may reach over databases, and a read at an old revision may be overtaken by a compaction.
        if (!(error instanceof UnsupportedError) && !(compacts && error instanceof CompactedError)) throw error;
      }
      if (random.chance(0.2)) await new Promise((resolve) => setTimeout(resolve, random.below(3)));
    }
  };

  const compactor = async (): Promise<void> => {
    while (compacts && !isDone) {
      const target = everything.reached() - BigInt(random.below(100));
      if (target > keyspace.status().compactRevision) await keyspace.compact(target);
      await new Promise((resolve) => setTimeout(resolve, random.below(30)));
    }
  };

  /** Writes to keys that change their database, at about the time at which they do. */
  const raceWith = (topology: Topology, id: number): Promise<void>[] =>
    KINDS.flatMap((kind) => NAMESPACES.map((namespace) => `${BASE}${kind}/${namespace}/${random.pick(NAMES)}`))
      .filter((key) => databaseOf(store.topology, bytesOf(key)) !== databaseOf(topology, bytesOf(key)))
      .map(async (key) => {
        await new Promise((resolve) => setTimeout(resolve, 1 + random.below(10)));
        const startedAt = tick++;
        acknowledge((await keyspace.put(putOp(key, `race ${id}`))).revision, key, `race ${id}`, startedAt);
      });

  const changer = async (): Promise<void> => {
    try {
      for (let i = 0; outcome.applied < changes; i++) {
        const { topology, keep } = topologies.next();
        if (random.chance(0.8)) {
          const kvs = await kvsOf(await keyspace.range(rangeOf(keyRange(bytesOf(BASE), bytesOf('/registry0')))));
          const moving = kvs.filter(({ key }) => databaseOf(store.topology, key) !== databaseOf(topology, key));
          await Promise.all(moving.map(({ key }) => remove(key.toString())));
        }
        const racing = random.chance(0.5) ? raceWith(topology, i) : [];
        const moves = await store.apply(topology);
        await Promise.all(racing);
        if (moves > 0) {
          outcome.refused++;
          continue;
        }
        keep();
        outcome.applied++;
        if (random.chance(0.3)) await new Promise((resolve) => setTimeout(resolve, random.below(20)));
      }
    } finally {
      isDone = true;
    }
  };

  for (let i = 0; i < 6; i++) watch();
  await Promise.all([changer(), compactor(), ...Array.from({ length: 6 }, (_, id) => client(id))]);

  for (const kind of KINDS)
    for (const namespace of NAMESPACES) for (const name of NAMES) await keyspace.put(putOp(`${BASE}${kind}/${namespace}/${name}`, 'end'));
  await noteList(await keyspace.range(rangeOf(EVERYTHING)), 0n, '', 0, highestSeen);
  const end = keyspace.status().revision;
  await everything.until(() => everything.events().at(-1)?.revision === end);
  const truth = everything.events();
  if (!compacts) expect(truth).toEqual(await store.truth());

  const checker = new HistoryChecker(truth);
  const { compactRevision } = keyspace.status();
  for (const { recorder, drained, covers, ...rest } of watches) {
    recorder.onMessage = () => undefined;
    recorder.isSlow = false;
    drained();
    const last = truth.findLast((event) => covers(event.key) && event.revision >= rest.from)?.revision ?? 0n;
    const canceled = (): boolean => recorder.messages.some((message) => message.type === 'canceled' && message.compactRevision > 0n);
    await recorder.until(() => canceled() || last === 0n || recorder.events().at(-1)?.revision === last);
    if (canceled()) expect(compacts).toBe(true);
    expect(recorder.error).toBeNull();
    checker.checkWatch({ ...rest, covers, compactRevision, messages: recorder.history() }, !canceled());
  }
  checker.checkWrites(writes);
  for (const listed of lists) checker.checkList(listed);
  expect(checker.problems.slice(0, 10)).toEqual([]);
  return { ...outcome, writes: writes.length, lists: lists.length, watches: watches.length };
}

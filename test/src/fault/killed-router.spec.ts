import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type AcknowledgedWrite,
  EtcdClient,
  EtcdError,
  type EtcdList,
  HistoryChecker,
  Random,
  type WatchedMessage,
} from '@harikube/testing';
import { EMAILS, GROUP, TwoFiles, USERS } from './two-files.js';

const WRITERS = 16;
const KILLS = 20;
/** A router is killed behind fewer writes than this. */
const WRITES_OF_A_LIFE = 200;
/** The last one lives until there are so many in all. */
const WRITES = 500;
const LISTS = 50;
const SEED = 20;
/** What a killed or ending router makes of a call. */
const UNAVAILABLE = 14;

let files: TwoFiles;

beforeEach(async () => {
  files = await TwoFiles.create();
});

afterEach(() => files.remove());

/** What everybody saw, over all lives of the router. */
class Record {
  readonly writes: AcknowledgedWrite[] = [];
  /** Values whose put was neither acknowledged nor refused. */
  readonly unknown = new Set<string>();
  readonly lists: { readonly prefix: string; readonly answer: EtcdList }[] = [];
  highest = 0n;
  #hasGrown: () => void = () => undefined;

  /** Resolves when there are so many. */
  async has(writes: number, lists = 0): Promise<void> {
    while (this.writes.length < writes || this.lists.length < lists) await new Promise<void>((resolve) => (this.#hasGrown = resolve));
  }

  keep(write: AcknowledgedWrite): void {
    this.writes.push(write);
    this.see(write.revision);
    this.#hasGrown();
  }

  see(revision: bigint): void {
    if (revision > this.highest) this.highest = revision;
  }
}

describe('16 writers over two files while the router is killed 20 times', () => {
  it('lose no acknowledged write and never see a revision twice or below one already seen', async () => {
    const random = new Random(SEED);
    const record = new Record();
    const watched: WatchedMessage[] = [];
    let resumeAt = 1n;
    for (let life = 0; life <= KILLS; life++) {
      const router = await files.start();
      const clients = Array.from({ length: 4 }, () => new EtcdClient(router.address));
      const watching = new EtcdClient(router.address);
      const seenBefore = record.highest;
      const watch = watching.watch(GROUP, { startRevision: resumeAt, prevKv: true });
      const created = await watch.created;
      // Nobody wrote the exact clock: it goes on above everything that may have been handed out.
      expect(created).toBeGreaterThan(life === 0 ? 0n : seenBefore + 1_000n);
      record.see(created);
      const writers = Array.from({ length: WRITERS }, (_, id) => write(clients[id % clients.length] as EtcdClient, { id, life, record }));
      const isLast = life === KILLS;
      const isEnough = isLast ? record.has(WRITES, LISTS) : record.has(record.writes.length + random.below(WRITES_OF_A_LIFE));
      await Promise.race([isEnough, Promise.all(writers.map(({ ended }) => ended))]);
      if (isLast) {
        await Promise.all(writers.map((writer) => writer.stop()));
        const [client] = clients;
        const end = (await client?.put(`${USERS}end`, 'end')) ?? 0n;
        record.see(end);
        await watch.until(() =>
          watch.messages.some((message) => message.type === 'events' && message.events.some(({ revision }) => revision === end)),
        );
        watch.close();
      } else {
        await router.kill();
        await Promise.all(writers.map((writer) => writer.stop()));
      }
      await watch.ended;
      watched.push(...watch.messages);
      for (const message of watch.messages) {
        const revision = message.type === 'progress' ? message.revision : (message.events.at(-1)?.revision ?? 0n);
        record.see(revision);
        if (revision >= resumeAt) resumeAt = revision + 1n;
      }
      for (const client of [...clients, watching]) client.close();
      if (isLast) expect(await router.stop()).toBe(0);
    }
    await compare(record, watched);
  });
});

interface Writer {
  /** Resolves when the router is gone. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** Writes until the router is gone or it is stopped. */
function write(client: EtcdClient, { id, life, record }: { id: number; life: number; record: Record }): Writer {
  const own = new Random(SEED * 1000 + life * 100 + id);
  const kind = id % 2 === 0 ? USERS : EMAILS;
  let isStopped = false;
  const run = async (): Promise<void> => {
    for (let i = 0; !isStopped; i++) {
      const key = own.chance(0.3) ? `${kind}shared${own.below(3)}` : `${kind}ns${id}/${own.below(5)}`;
      const value = `${life}-${id}-${i}-${'x'.repeat(own.below(1000))}`;
      const seen = record.highest;
      if (own.chance(0.1)) {
        const prefix = own.pick([GROUP, USERS, EMAILS]);
        const answer = await client.list(prefix);
        expect(answer.revision).toBeGreaterThanOrEqual(seen);
        record.see(answer.revision);
        record.lists.push({ prefix, answer });
      }
      const startedAt = performance.now();
      const newest = record.highest;
      record.unknown.add(value);
      const revision = await client.put(key, value);
      record.unknown.delete(value);
      // Above everything that anybody saw before it began, from this life of the router or an earlier one.
      expect(revision).toBeGreaterThan(newest);
      record.keep({ revision, key, value, startedAt, endedAt: performance.now() });
    }
  };
  const running = run().catch((error: unknown) => {
    if (!(error instanceof EtcdError) || error.code !== UNAVAILABLE) throw error;
  });
  running.catch(() => undefined); // told by stop()
  return {
    ended: running,
    stop: () => {
      isStopped = true;
      return running;
    },
  };
}

async function compare(record: Record, watched: readonly WatchedMessage[]): Promise<void> {
  const router = await files.start();
  const client = new EtcdClient(router.address);
  // The log as the databases have it after all of this.
  const whole = client.watch(GROUP, { startRevision: 1n, prevKv: true });
  const final = await client.list(GROUP);
  expect(final.revision).toBe(record.highest);
  const last = final.kvs.reduce((newest, kv) => (kv.modRevision > newest ? kv.modRevision : newest), 0n);
  await whole.until(() =>
    whole.messages.some((message) => message.type === 'events' && message.events.some(({ revision }) => revision === last)),
  );
  const truth = whole.messages.flatMap((message) => (message.type === 'events' ? message.events : []));
  const checker = new HistoryChecker(truth);
  checker.checkWrites(record.writes);
  const covers = (key: string): boolean => key.startsWith(GROUP);
  checker.checkWatch({ name: 'the watch over all lives', covers, from: 1n, prevKv: true, messages: watched }, true);
  for (const { prefix, answer } of [...record.lists, { prefix: GROUP, answer: final }]) {
    const kvs = answer.kvs.map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision }));
    checker.checkList({ revision: answer.revision, covers: (key) => key.startsWith(prefix), kvs, count: answer.count });
  }
  expect(checker.problems).toEqual([]);
  // What is there was asked for: acknowledged, or cut off by a kill.
  const acknowledged = new Set(record.writes.map(({ revision }) => revision));
  const others = truth.filter((event) => !acknowledged.has(event.revision) && event.value !== 'end');
  expect(others.filter((event) => !record.unknown.has(event.value))).toEqual([]);
  expect(new Set(others.map((event) => event.value)).size).toBe(others.length);
  client.close();
  await router.stop();
}

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type AcknowledgedWrite, EtcdClient, type EtcdList, HistoryChecker, Random } from '@harikube/testing';
import { EMAILS, GROUP, TwoFiles, USERS } from './two-files.js';

const CLIENTS_PER_KIND = 16;
const ROUNDS = 30;

let files: TwoFiles;

beforeEach(async () => {
  files = await TwoFiles.create();
});

afterEach(() => files.remove());

interface Listed {
  readonly prefix: string;
  readonly limit: number;
  readonly answer: EtcdList;
}

describe('two kinds in two files, written at once by 16 clients each', () => {
  it('have one order of revisions, complete watches and lists that are whole at their revision', async () => {
    const { address } = await files.start();
    const random = new Random(17);
    const clients = Array.from({ length: 8 }, () => new EtcdClient(address));
    const watching = new EtcdClient(address);
    const [first] = clients;
    if (first === undefined) throw new Error('there are clients');
    const start = (await first.list(GROUP)).revision;
    expect(start).toBe(1n);
    const watches = [GROUP, USERS, EMAILS, `${USERS}shared`].map((prefix, i) => ({
      prefix,
      prevKv: i % 2 === 0,
      watch: watching.watch(prefix, { startRevision: start + 1n, prevKv: i % 2 === 0 }),
    }));
    const writes: AcknowledgedWrite[] = [];
    const lists: Listed[] = [];
    let highest = start;

    const work = async (id: number): Promise<void> => {
      const client = clients[id % clients.length] as EtcdClient;
      const kind = id % 2 === 0 ? USERS : EMAILS;
      const own = new Random(1000 + id);
      for (let round = 0; round < ROUNDS; round++) {
        const key = own.chance(0.3) ? `${kind}shared${own.below(3)}` : `${kind}ns${id}/${own.below(4)}`;
        const value = `${id}-${round}-${'x'.repeat(own.below(2000))}`;
        const seen = highest;
        const { revision: header, kvs } = await client.get(key);
        expect(header).toBeGreaterThanOrEqual(seen);
        const current = kvs[0]?.modRevision ?? 0n;
        const isDelete = current > 0n && own.chance(0.2);
        const startedAt = performance.now();
        const revision = isDelete ? await client.deleteIf(key, current) : await client.putIf(key, value, current);
        if (revision !== null) {
          writes.push({ revision, key, value: isDelete ? null : value, startedAt, endedAt: performance.now() });
          if (revision > highest) highest = revision;
        }
        if (own.chance(0.15)) {
          const prefix = own.pick([GROUP, USERS, EMAILS]);
          const limit = own.pick([0, 0, 7]);
          const newest = highest;
          const answer = await client.list(prefix, { limit });
          expect(answer.revision).toBeGreaterThanOrEqual(newest);
          lists.push({ prefix, limit, answer });
        }
      }
    };
    await Promise.all(Array.from({ length: 2 * CLIENTS_PER_KIND }, (_, id) => work(id)));
    for (const prefix of [USERS, EMAILS, `${USERS}shared`]) highest = await first.put(`${prefix}end`, `${random.next()}`);
    // Each watch is waited for by a write of its own range.
    for (const { prefix, watch } of watches) {
      const last = (await first.list(prefix)).kvs.reduce((newest, kv) => (kv.modRevision > newest ? kv.modRevision : newest), 0n);
      await watch.until(() =>
        watch.messages.some((message) => message.type === 'events' && message.events.some((event) => event.revision === last)),
      );
    }
    const truth = (watches[0]?.watch.messages ?? []).flatMap((message) => (message.type === 'events' ? message.events : []));
    const checker = new HistoryChecker(truth);
    checker.checkWrites(writes);
    checker.checkGapless();
    for (const { prefix, prevKv, watch } of watches) {
      const covers = (key: string): boolean => key.startsWith(prefix);
      checker.checkWatch({ name: `the watch of ${prefix}`, covers, from: start + 1n, prevKv, messages: watch.messages }, true);
    }
    for (const { prefix, limit, answer } of lists) {
      const kvs = answer.kvs.map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision }));
      checker.checkList({ revision: answer.revision, covers: (key) => key.startsWith(prefix), kvs, count: answer.count, limit });
    }
    expect(checker.problems).toEqual([]);
    expect(truth.length).toBe(writes.length + 3);
    expect([writes.length > 500, lists.length > 50]).toEqual([true, true]);
    for (const client of [...clients, watching]) client.close();
  });
});

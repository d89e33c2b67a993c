import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdClient, EtcdError } from '@harikube/testing';
import { EMAILS, GROUP, TwoFiles, USERS } from './two-files.js';

const UNAVAILABLE = 14;

let files: TwoFiles;

beforeEach(async () => {
  files = await TwoFiles.create();
});

afterEach(() => files.remove());

describe('a router that is stopped while 16 clients write', () => {
  it('answers what it took, ends watches as unavailable, and goes on with the next number', async () => {
    const router = await files.start();
    const client = new EtcdClient(router.address);
    const watch = client.watch(GROUP, { startRevision: 1n });
    await watch.created;
    const acknowledged = new Map<string, bigint>();
    const refused: unknown[] = [];
    const enough = Promise.withResolvers<void>();
    const writing = Array.from({ length: 16 }, async (_, id) => {
      try {
        for (let i = 0; ; i++) {
          const key = `${id % 2 === 0 ? USERS : EMAILS}ns/${id}-${i}`;
          acknowledged.set(key, await client.put(key, 'x'));
          if (acknowledged.size === 500) enough.resolve();
        }
      } catch (error) {
        refused.push(error);
      }
    });
    await enough.promise;
    expect(await router.stop()).toBe(0);
    await Promise.all(writing);
    for (const error of refused) expect(error).toMatchObject({ name: 'EtcdError', code: UNAVAILABLE });
    const ended = await watch.ended;
    expect([ended instanceof EtcdError && ended.code, ended.message]).toEqual([UNAVAILABLE, 'etcdserver: server stopped']);
    client.close();

    const next = await files.start();
    const reader = new EtcdClient(next.address);
    const { kvs, revision } = await reader.list(GROUP);
    const found = new Map(kvs.map((kv) => [kv.key.toString(), kv.modRevision]));
    expect([...acknowledged].filter(([key, written]) => found.get(key) !== written)).toEqual([]);
    // Every number was used once and none was left out: 1 is the empty store.
    expect(revision).toBe(BigInt(found.size) + 1n);
    expect(await reader.put(`${USERS}next`, 'x')).toBe(revision + 1n);
    reader.close();
    expect(await next.stop()).toBe(0);
  });
});

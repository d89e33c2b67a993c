import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RangeRequest } from '@harikube/keyspace';
import { EtcdServer } from './etcd-server.js';
import { MemoryStore } from './spec/memory-store.js';

class AskedStore extends MemoryStore {
  readonly asked: RangeRequest[] = [];

  override range(request: RangeRequest) {
    this.asked.push(request);
    return super.range(request);
  }
}

let store: AskedStore;
let server: EtcdServer;
let told: string[];

beforeEach(async () => {
  store = new AskedStore();
  told = [];
  const tell = (what: string) => (): void => void told.push(what);
  server = new EtcdServer(store, {
    addresses: ['127.0.0.1:0'],
    onInternalError: tell('error'),
    observer: { started: tell('started'), messageReceived: tell('received'), messageSent: tell('sent'), handled: tell('handled') },
  });
  await server.start();
});

afterEach(() => server.close());

describe('EtcdServer.warmUp', () => {
  it('lists keys that nobody has, through the store, and nobody hears of it', async () => {
    await server.warmUp();
    expect(store.asked.length).toBeGreaterThan(10);
    const beforeAnyKey = { start: Buffer.from([0, 0]), end: Buffer.from([0, 1]) };
    for (const { range } of store.asked) expect(range).toMatchObject(beforeAnyKey);
    expect(told).toEqual([]);
  });

  it('stops when the server closes', async () => {
    const warming = server.warmUp();
    await server.close();
    await warming;
    expect(store.asked.length).toBeLessThan(3);
  });

  it('survives a store that fails', async () => {
    store.range = () => Promise.reject(new Error('the database is away'));
    await server.warmUp();
    expect(told).toEqual([]);
  });
});

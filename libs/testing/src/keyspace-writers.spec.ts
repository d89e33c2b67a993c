import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import {
  CommitFailedError,
  CommitUnknownError,
  decodeKeyValue,
  Keyspace,
  KeyspaceError,
  type KeyValue,
  type RangeRequest,
  type Revision,
  singleKey,
  WriterLease,
} from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import { type AcknowledgedWrite, HistoryChecker, type ListedState, type WatchedEvent, type WatchedMessage } from './history-checker.js';
import { deleteOp, getOp, kvsOf, modIs, putOp, routingByFirstSegment, watchOf } from './keyspace-harness.js';
import { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';
import { Random } from './random.js';
import { someWriter } from './take-over.js';
import { watchedEvent, WatchRecorder } from './watch-recorder.js';

const LEASE_MS = 150;
const NAMES = ['main', 'user', 'email'];
const KEYS = ['/a', '/b', '/user/a', '/user/b', '/user/c', '/email/a'];
const PREFIXES = ['', '/user/', '/email/', '/a'];
const LOG = { info: () => undefined, warn: () => undefined };

type Databases = ReadonlyMap<string, MemoryDatabase>;

/** One of several processes on the same databases, whose way to them can be stopped up or cut. */
class Router {
  keyspace: Keyspace | null = null;
  /** Resolves when the way is open again; null: it is. */
  #jam: Promise<void> | null = null;
  #isCut = false;
  #handOver: () => void = () => undefined;
  readonly #hooks: MemoryHooks;

  constructor(
    private readonly databases: Databases,
    private readonly random: Random,
  ) {
    const pass = (): Promise<void> => this.#pass(() => new Error('connection refused'));
    this.#hooks = {
      beforeCommit: () => this.#pass(() => (random.chance(0.5) ? new CommitFailedError('cut') : new CommitUnknownError('cut'))),
      afterCommit: () => this.#pass(() => new CommitUnknownError('cut')),
      beforeRead: pass,
      afterRead: pass,
      beforeResolve: pass,
      beforeControl: pass,
    };
  }

  /** Whatever is asked of the databases, and what they have answered, gets through later. */
  async jam(milliseconds: number): Promise<void> {
    this.#jam = delay(milliseconds);
    await this.#jam;
    this.#jam = null;
  }

  async cut(milliseconds: number): Promise<void> {
    this.#isCut = true;
    await delay(milliseconds);
    this.#isCut = false;
  }

  /** Stops and starts anew. */
  handOver(): void {
    this.#handOver();
  }

  /** Writes whenever it is its turn. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#write(signal);
      } catch {
        await delay(10);
      }
    }
  }

  async #write(signal: AbortSignal): Promise<void> {
    const backends = new Map([...this.databases].map(([name, database]) => [name, new MemoryBackend(name, database, this.#hooks)]));
    const main = backends.get('main');
    if (main === undefined) throw new Error('there is no main database');
    backends.delete('main');
    const lease = await WriterLease.acquire(main, { identity: someWriter(LEASE_MS), signal, log: LOG });
    const over = new Promise<void>((resolve) => {
      this.#handOver = resolve;
      signal.addEventListener('abort', () => resolve());
      // It may have been its turn just when it was told to stop.
      if (signal.aborted) resolve();
    });
    try {
      this.keyspace = await Keyspace.open({
        main,
        lease,
        backends,
        routing: routingByFirstSegment([...backends.keys()]),
        cacheBytes: this.random.chance(0.5) ? 0 : 1 << 20,
        eventBytes: this.random.chance(0.5) ? 0 : 1 << 20,
        progressIntervalMs: 20,
        requestTimeoutMs: 200,
        log: LOG,
      });
    } catch (error) {
      await lease.release().catch(() => undefined);
      throw error;
    }
    const { keyspace } = this;
    await Promise.race([keyspace.deposed, over]);
    await keyspace.close();
    if (this.keyspace === keyspace) this.keyspace = null;
  }

  async #pass(cut: () => Error): Promise<void> {
    if (this.random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
    while (this.#jam !== null) await this.#jam;
    if (this.#isCut) throw cut();
  }
}

/** Clients of all routers, and what they saw. */
class Clients {
  readonly writes: AcknowledgedWrite[] = [];
  readonly lists: ListedState[] = [];
  readonly stale: string[] = [];
  refused = 0;
  #tick = 0;
  #highestSeen: Revision = 0n;
  #values = 0;

  constructor(
    private readonly routers: readonly Router[],
    private readonly random: Random,
  ) {}

  /** Asks one router after another, those that are deposed too. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const keyspaces = this.routers.flatMap(({ keyspace }) => keyspace ?? []);
      if (keyspaces.length === 0) {
        await delay(5);
        continue;
      }
      try {
        await this.#act(this.random.pick(keyspaces));
      } catch (error) {
        if (!(error instanceof KeyspaceError)) throw error;
        this.refused++;
        await delay(1);
      }
    }
  }

  async #act(keyspace: Keyspace): Promise<void> {
    const { random } = this;
    const key = random.pick(KEYS);
    if (random.chance(0.3)) {
      const prefix = random.pick(PREFIXES);
      await this.#read(keyspace, watchOf(prefix).range, (candidate) => candidate.startsWith(prefix));
      return;
    }
    const kvs = await this.#read(keyspace, singleKey(bytesOf(key)), (candidate) => candidate === key);
    await this.#change(keyspace, key, kvs[0]);
  }

  async #read(keyspace: Keyspace, range: RangeRequest['range'], covers: (key: string) => boolean): Promise<KeyValue[]> {
    const seen = this.#highestSeen;
    const result = await keyspace.range({ type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false });
    const kvs = await kvsOf(result);
    this.#note(result.revision, covers, kvs, seen);
    return kvs;
  }

  async #change(keyspace: Keyspace, key: string, found: KeyValue | undefined): Promise<void> {
    const seen = this.#highestSeen;
    const startedAt = this.#tick++;
    const value = this.random.chance(0.2) && found !== undefined ? null : `${this.#values++}`;
    const result = await keyspace.txn({
      type: 'txn',
      compares: [modIs(key, found?.modRevision ?? 0n)],
      success: [value === null ? deleteOp(key) : putOp(key, value)],
      failure: [getOp(key)],
    });
    if (result.succeeded) {
      this.writes.push({ revision: result.revision, key, value, startedAt, endedAt: this.#tick++ });
      if (result.revision > this.#highestSeen) this.#highestSeen = result.revision;
      return;
    }
    const [response] = result.responses;
    const records = response?.type === 'range' ? response.kvs.map(decodeKeyValue) : [];
    this.#note(result.revision, (candidate) => candidate === key, records, seen);
  }

  #note(revision: Revision, covers: (key: string) => boolean, kvs: readonly KeyValue[], seen: Revision): void {
    if (revision < seen) this.stale.push(`${revision} was told after ${seen}`);
    if (revision > this.#highestSeen) this.#highestSeen = revision;
    const shown = kvs.map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision }));
    this.lists.push({ revision, covers, kvs: shown });
  }
}

/** A client that follows a prefix, and goes to another router whenever it likes, or has to. */
class Follower {
  readonly messages: WatchedMessage[] = [];
  #cursor: Revision = 0n;

  constructor(
    readonly prefix: string,
    private readonly routers: readonly Router[],
    private readonly random: Random,
  ) {}

  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { keyspace } = this.random.pick(this.routers);
      if (keyspace === null) await delay(5);
      else await this.#watch(keyspace, () => delay(this.random.below(400)));
    }
  }

  /** Until it has everything. */
  async finish(next: () => Promise<Keyspace>, last: Revision): Promise<void> {
    while (this.#cursor < last) await this.#watch(await next(), (recorder) => recorder.until(() => recorder.reached() >= last));
  }

  async #watch(keyspace: Keyspace, over: (recorder: WatchRecorder) => Promise<void>): Promise<void> {
    const recorder = new WatchRecorder();
    const stream = keyspace.watch(recorder);
    stream.create(watchOf(this.prefix, { startRevision: this.#cursor + 1n, prevKv: true, progressNotify: true }));
    await Promise.race([over(recorder), recorder.until(() => recorder.error !== null)]);
    stream.close();
    this.messages.push(...recorder.history());
    const reached = recorder.reached();
    if (reached > this.#cursor) this.#cursor = reached;
  }
}

async function truthOf(databases: Databases): Promise<WatchedEvent[]> {
  const query = { range: { start: Buffer.alloc(0), end: null, single: false }, after: 0n, through: 1n << 60n, maxBytes: 1 << 30 };
  const answers = await Promise.all([...databases.values()].map((database) => new MemoryBackend('truth', database).changes(query)));
  return answers
    .flatMap(({ changes }) => changes)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ isDelete, record, prevRecord }) => watchedEvent(isDelete, record, prevRecord));
}

describe('several keyspaces on the same databases', () => {
  it.each([1, 2, 3])(
    'write one at a time, whatever happens to them, and tell one story (seed %i)',
    async (seed) => {
      const random = new Random(seed);
      const databases: Databases = new Map(NAMES.map((name) => [name, new MemoryDatabase()]));
      const routers = [1, 2, 3].map(() => new Router(databases, random));
      const clients = new Clients(routers, random);
      const followers = PREFIXES.map((prefix) => new Follower(prefix, routers, random));
      const ending = new AbortController();
      const stopping = new AbortController();
      const running = routers.map((router) => router.run(stopping.signal));
      const working = [
        ...[1, 2, 3, 4].map(() => clients.work(ending.signal)),
        ...followers.map((follower) => follower.follow(ending.signal)),
      ];
      const active = (): Router | undefined => routers.find(({ keyspace }) => keyspace?.writer.isHeld === true);
      const epochs = (): bigint => databases.get('main')?.epoch ?? 0n;
      const next = async (): Promise<Keyspace> => {
        for (;;) {
          const keyspace = active()?.keyspace ?? null;
          if (keyspace !== null) return keyspace;
          await delay(5);
        }
      };
      for (let round = 0; round < 12 || epochs() < 8n || clients.writes.length < 200; round++) {
        await next();
        await delay(random.below(100));
        const router = active() ?? routers[0];
        const time = LEASE_MS * (0.2 + 2.5 * random.next());
        const fate = random.below(4);
        if (fate === 0) router?.handOver();
        else if (fate === 1) await router?.cut(time);
        else await router?.jam(time);
      }
      ending.abort();
      await Promise.all(working);
      // The last one that was told to stop may still be doing so.
      const end = async (): Promise<Revision | null> =>
        (await (await next()).put(putOp('/a', 'the end')).catch(() => null))?.revision ?? null;
      let revision = await end();
      for (; revision === null; revision = await end()) await delay(5);
      for (const follower of followers) await follower.finish(next, revision);
      stopping.abort();
      await Promise.all(running);

      const checker = new HistoryChecker(await truthOf(databases));
      checker.checkWrites(clients.writes);
      for (const list of clients.lists) checker.checkList(list);
      for (const { prefix, messages } of followers) {
        const covers = (key: string): boolean => key.startsWith(prefix);
        checker.checkWatch({ name: `the watch of ${JSON.stringify(prefix)}`, covers, from: 1n, prevKv: true, messages }, true);
      }
      expect(checker.problems).toEqual([]);
      expect(clients.stale).toEqual([]);
      expect(clients.lists.length).toBeGreaterThan(200);
      expect(clients.refused).toBeGreaterThan(0);
    },
    60_000,
  );
});

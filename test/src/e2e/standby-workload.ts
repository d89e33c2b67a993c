import type { Revision } from '@harikube/keyspace';
import { EtcdClient, EtcdError, type EtcdList, type EtcdWatch, Random, type WatchedEvent } from '@harikube/testing';
import { judge } from '../fault/workload-judge.js';
import { type Asked, type RecordedRead, type RecordedWatch, type WriteOutcome, WorkloadRecord } from '../fault/workload-record.js';

export interface StandbyWorkloadOptions {
  /** Of all routers, whichever of them is active. */
  readonly urls: readonly string[];
  readonly prefix: string;
  readonly seed: number;
  readonly writers: number;
  /** A client that hears nothing for so long goes to another address, as by a keepalive. */
  readonly silenceMs: number;
}

export interface StandbyVerdict {
  /** Sentences about everything that must not be. */
  readonly findings: readonly string[];
  readonly acknowledged: number;
  readonly unknown: number;
  readonly reads: number;
  readonly events: number;
  /** The longest time without an acknowledged write, in milliseconds. */
  readonly longestGapMs: number;
}

const UNAVAILABLE = 14;
const SHARED_KEYS = 3;
const OWN_KEYS = 2;
/** Pause after a refused call, as clients make one. */
const PAUSE_MS = 25;
/** For the log to come in whole once all is well. */
const SETTLE_MS = 30_000;

/**
 * Registers that clients of several routers write and read, compare and set, while the routers come and go; and what each client was told. In
 * the end that is held against the log as the database has it: no stale read, no acknowledged write lost, no revision used twice.
 */
export class StandbyWorkload {
  readonly record: WorkloadRecord;
  readonly #callers: Caller[] = [];
  #writing: Promise<unknown> = Promise.resolve();
  #following: Promise<unknown> = Promise.resolve();
  /** Of the whole workload, once that is known. */
  #lastRevision: Revision | null = null;
  #isEnding = false;
  #values = 0;
  #lastWriteAt = performance.now();
  #longestGapMs = 0;

  private constructor(
    private readonly options: StandbyWorkloadOptions,
    private readonly base: Revision,
  ) {
    this.record = new WorkloadRecord(base);
  }

  /** The prefix holds no keys. */
  static async begin(options: StandbyWorkloadOptions): Promise<StandbyWorkload> {
    const caller = new Caller(options, 0);
    const { revision, count } = await caller.callUntilAnswered((client) => client.list(options.prefix));
    caller.close();
    if (count > 0) throw new Error(`${options.prefix} holds ${count} keys before the workload begins`);
    const workload = new StandbyWorkload(options, revision);
    workload.#start();
    return workload;
  }

  /** Resolves when so many writes that began after this call are acknowledged; how long that took, in milliseconds. */
  async writes(count = 20): Promise<number> {
    const from = performance.now();
    const { length } = this.record.writes;
    const done = (): number =>
      this.record.writes.slice(length).filter(({ startedAt, outcome }) => startedAt > from && outcome.type === 'done').length;
    while (done() < count) {
      if (performance.now() - from > SETTLE_MS) throw new Error(`only ${done()} writes are acknowledged within ${SETTLE_MS} ms`);
      await pause(PAUSE_MS);
    }
    return performance.now() - from;
  }

  /** Ends the clients when the watch has everything, and judges what they were told by the log, which `url` tells. */
  async end(url: string): Promise<StandbyVerdict> {
    this.#isEnding = true;
    await this.#writing;
    const client = new EtcdClient(url);
    const last = await this.#putLast(client);
    this.#lastRevision = last;
    await this.#following;
    for (const caller of this.#callers) caller.close();
    const truth = await this.#truth(client, last);
    client.close();
    const { record } = this;
    return {
      findings: judge({ record, truth, base: this.base }),
      acknowledged: record.writes.filter(({ outcome }) => outcome.type === 'done').length,
      unknown: record.writes.filter(({ outcome }) => outcome.type === 'unknown').length,
      reads: record.reads.length,
      events: truth.length,
      longestGapMs: Math.round(this.#longestGapMs),
    };
  }

  #start(): void {
    const { writers, seed, prefix } = this.options;
    const watched: RecordedWatch = { name: 'the watch', prefix, prevKv: true, messages: [] };
    this.record.watches.push(watched);
    this.#writing = Promise.all(Array.from({ length: writers }, (_, id) => this.#write(id, new Random(seed * 1000 + id))));
    this.#following = this.#follow(watched);
    // Told by end().
    this.#writing.catch(() => undefined);
    this.#following.catch(() => undefined);
  }

  async #putLast(client: EtcdClient): Promise<Revision> {
    const key = `${this.options.prefix}end`;
    const asked = this.#asked('the last put');
    const value = this.#value();
    const revision = await client.put(key, value);
    const outcome = { type: 'done', revision } as const;
    this.record.writes.push({ ...asked, key, value, expected: null, endedAt: performance.now(), outcome });
    this.record.see(revision);
    return revision;
  }

  async #write(id: number, random: Random): Promise<void> {
    const { prefix } = this.options;
    const caller = this.#caller(id);
    const known = new Map<string, Revision>();
    while (!this.#isEnding) {
      const key = random.chance(0.5) ? `${prefix}shared-${random.below(SHARED_KEYS)}` : `${prefix}of-${id}-${random.below(OWN_KEYS)}`;
      const dice = random.next();
      if (dice < 0.35) {
        const expected = known.get(key) ?? 0n;
        const value = expected > 0n && random.chance(0.1) ? null : this.#value();
        const outcome = await this.#attempt(caller, key, value, expected);
        if (outcome.type === 'done') known.set(key, value === null ? 0n : outcome.revision);
        else known.delete(key);
      } else if (dice < 0.5) {
        await this.#attempt(caller, key, this.#value(), null);
        known.delete(key);
      } else if (dice < 0.9) {
        const answer = await this.#read(caller, key, true);
        if (answer !== null) known.set(key, answer.kvs[0]?.modRevision ?? 0n);
      } else await this.#read(caller, prefix, false);
      await pause(random.below(10));
    }
  }

  async #attempt(caller: Caller, key: string, value: string | null, expected: Revision | null): Promise<WriteOutcome> {
    const asked = this.#asked(`${value === null ? 'a deletion' : 'a put'} of ${key}`);
    let outcome: WriteOutcome = { type: 'unknown' };
    try {
      outcome = await caller.call(async (client): Promise<WriteOutcome> => {
        if (expected === null) return { type: 'done', revision: await client.put(key, value ?? '') };
        const { succeeded, revision } = await client.attempt(key, value, expected);
        return { type: succeeded ? 'done' : 'refused', revision };
      });
      this.record.see(outcome.type === 'done' || outcome.type === 'refused' ? outcome.revision : 0n);
      if (outcome.type === 'done') this.#wrote();
    } catch (error) {
      await this.#failed(asked.what, error);
    }
    this.record.writes.push({ ...asked, key, value, expected, endedAt: performance.now(), outcome });
    return outcome;
  }

  async #read(caller: Caller, prefix: string, isSingle: boolean): Promise<EtcdList | null> {
    const asked = this.#asked(isSingle ? `a get of ${prefix}` : 'a list');
    try {
      const answer = await caller.call((client) => (isSingle ? client.get(prefix) : client.list(prefix)));
      const { revision, count, more } = answer;
      const kvs = answer.kvs.map(({ key, value, modRevision }) => ({ key: key.toString(), value: value.toString(), modRevision }));
      const query: Pick<RecordedRead, 'prefix' | 'from' | 'isSingle' | 'limit' | 'at'> = {
        prefix,
        from: prefix,
        isSingle,
        limit: 0,
        at: 0n,
      };
      this.record.reads.push({ ...asked, ...query, endedAt: performance.now(), revision, kvs, count, more });
      this.record.see(revision);
      return answer;
    } catch (error) {
      await this.#failed(asked.what, error);
      return null;
    }
  }

  /** One watch over the ends of its connections, as an informer's is, until it has been told the last revision. */
  async #follow(watched: RecordedWatch): Promise<void> {
    const caller = this.#caller(0);
    let reached = this.base;
    let settleBy = Number.POSITIVE_INFINITY;
    while (this.#lastRevision === null || reached < this.#lastRevision) {
      if (this.#lastRevision !== null && settleBy === Number.POSITIVE_INFINITY) settleBy = performance.now() + SETTLE_MS;
      if (performance.now() > settleBy) return;
      const watch = caller.watch(watched.prefix, { startRevision: reached + 1n, prevKv: true });
      if (watch === null) {
        await pause(PAUSE_MS);
        continue;
      }
      let read = 0;
      let heardAt = performance.now();
      const take = (): boolean => {
        for (const message of watch.messages.slice(read)) {
          watched.messages.push(message);
          const revision = message.type === 'progress' ? message.revision : (message.events.at(-1)?.revision ?? 0n);
          this.record.see(revision);
          if (revision > reached) reached = revision;
        }
        if (read < watch.messages.length) heardAt = performance.now();
        read = watch.messages.length;
        return this.#lastRevision !== null && reached >= this.#lastRevision;
      };
      let isOver = false;
      void watch.until(take).then(() => (isOver = true));
      while (!isOver && !take() && performance.now() - heardAt < this.options.silenceMs) await pause(PAUSE_MS);
      watch.close();
      take();
      caller.move();
    }
  }

  async #truth(client: EtcdClient, last: Revision): Promise<readonly WatchedEvent[]> {
    const watch = client.watch(this.options.prefix, { startRevision: this.base + 1n, prevKv: true });
    await watch.until(() =>
      watch.messages.some((message) => message.type === 'events' && message.events.some(({ revision }) => revision === last)),
    );
    watch.close();
    return watch.messages.flatMap((message) => (message.type === 'events' ? message.events : []));
  }

  #caller(id: number): Caller {
    const caller = new Caller(this.options, id);
    this.#callers.push(caller);
    return caller;
  }

  #asked(what: string): Asked {
    return { areas: [], what, startedAt: performance.now(), floor: this.record.highest };
  }

  #wrote(): void {
    const now = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastWriteAt);
    this.#lastWriteAt = now;
  }

  async #failed(what: string, error: unknown): Promise<void> {
    if (!isUnanswered(error)) throw error;
    this.record.errors++;
    if (error instanceof EtcdError && error.code !== UNAVAILABLE) this.record.complain(`${what}: code ${error.code}: ${error.message}`);
    await pause(PAUSE_MS);
  }

  #value(): string {
    return `${++this.#values}`;
  }
}

/** Nobody answers, and the connection stands. */
class SilenceError extends Error {
  override readonly name = 'SilenceError';
}

function isUnanswered(error: unknown): boolean {
  return error instanceof EtcdError || error instanceof SilenceError;
}

/** A client that goes from one address to the next when its connection ends, is silent, or leads to a router that does not serve. */
class Caller {
  #client: EtcdClient | null = null;
  #next: number;

  constructor(
    private readonly options: StandbyWorkloadOptions,
    first: number,
  ) {
    this.#next = first;
  }

  async call<T>(request: (client: EtcdClient) => Promise<T>): Promise<T> {
    const client = this.#connection();
    const silent = Promise.withResolvers<never>();
    const timer = setTimeout(() => silent.reject(new SilenceError('no answer')), this.options.silenceMs);
    try {
      return await Promise.race([request(client), silent.promise]);
    } catch (error) {
      if (this.#client === client) this.move();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asks one address after the other. */
  async callUntilAnswered<T>(request: (client: EtcdClient) => Promise<T>): Promise<T> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      try {
        return await this.call(request);
      } catch (error) {
        if (performance.now() > deadline || !isUnanswered(error)) throw error;
        await pause(PAUSE_MS);
      }
    }
  }

  /** Null: the connection is gone. */
  watch(prefix: string, options: { readonly startRevision: Revision; readonly prevKv: boolean }): EtcdWatch | null {
    try {
      return this.#connection().watch(prefix, options);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.move();
      return null;
    }
  }

  /** Goes to the next address. */
  move(): void {
    this.close();
    this.#next++;
  }

  close(): void {
    this.#client?.close();
    this.#client = null;
  }

  #connection(): EtcdClient {
    const { urls } = this.options;
    this.#client ??= new EtcdClient(urls[this.#next % urls.length] ?? '');
    return this.#client;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

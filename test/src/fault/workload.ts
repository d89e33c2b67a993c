import type { Revision } from '@harikube/keyspace';
import type { Area } from '../consistency/history.js';
import { type EtcdList, Random, type WatchedEvent } from '@harikube/testing';
import { MachineStalls } from './machine-stalls.js';
import { type Trouble, Troubles } from './troubles.js';
import { RequestFailed, type RequestFailure, WorkloadClient } from './workload-client.js';
import { judge } from './workload-judge.js';
import { type Asked, type RecordedRead, type WriteOutcome, WorkloadRecord } from './workload-record.js';
import { WorkloadWatcher } from './workload-watcher.js';

export interface WorkloadOptions {
  /** Where the router is now; asked whenever a client connects. */
  readonly address: () => string;
  readonly areas: readonly Area[];
  /** What all areas begin with: ranges and watches over several databases. */
  readonly common: string;
  readonly seed: number;
  readonly writers: number;
  /** An answer or an error comes within this time, whatever happens to the database. */
  readonly answerWithinMs: number;
  /** While its own database is well, a request is answered within this time. */
  readonly healthyWithinMs: number;
  /** How long a writer rests between its requests, on average. */
  readonly restMs: number;
}

export interface WorkloadVerdict {
  readonly findings: readonly string[];
  readonly acknowledged: number;
  readonly unknown: number;
  /** Of these unknown ones so many turned out to have taken place. */
  readonly unknownThatTookPlace: number;
  readonly reads: number;
  readonly events: number;
  readonly resumptions: number;
  readonly errors: number;
  readonly slowestHealthyMs: number;
  readonly slowestTroubledMs: number;
}

/** A request that never answers is given up this long after it should have. */
const SILENCE_FACTOR = 2;
/** For watches and for the log to come in whole once all is well. */
const SETTLE_MS = 30_000;
const KEYS_OF_A_WRITER = 3;
const SHARED_KEYS = 4;
const PAGE = 5;
/** Pause between two questions whether an area is back. */
const PROBE_PAUSE_MS = 100;
/** An area is back when so many writes and reads of it in a row went well. */
const PROBES = 3;

/**
 * Clients that use a router as Kubernetes does while its databases are made to fail, and that keep what each of them was told. A round begins
 * without keys and ends with a verdict: what was acknowledged is there once, what was refused is not there, what nobody knows is there once or
 * never and everybody agrees, reads are linearizable, watches are complete, and keys of databases that were well never noticed anything.
 */
export class Workload {
  readonly #troubles = new Troubles();
  readonly #clients: WorkloadClient[] = [];
  readonly #watchers: WorkloadWatcher[] = [];
  readonly #watcherOf = new Map<string, WorkloadWatcher>();
  #writing: Promise<unknown> = Promise.resolve();
  #isEnding = false;
  #values = 0;
  #probes = 0;

  private constructor(
    private readonly options: WorkloadOptions,
    private readonly base: Revision,
    private readonly record: WorkloadRecord,
    private readonly stalls: MachineStalls,
  ) {}

  /** Removes what an earlier round left and begins to write. `seen`: the highest revision of earlier rounds. */
  static async begin(options: WorkloadOptions, seen: Revision): Promise<Workload> {
    const client = new WorkloadClient(options.address, options.answerWithinMs * SILENCE_FACTOR);
    const { kvs } = answered(await client.ask((it) => it.list(options.common)));
    await Promise.all(
      kvs.map(async ({ key, modRevision }) => answered(await client.ask((it) => it.deleteIf(key.toString(), modRevision)))),
    );
    const { revision, count } = answered(await client.ask((it) => it.list(options.common)));
    client.close();
    if (count > 0) throw new Error(`${count} keys below ${options.common} are not of the workload`);
    const record = new WorkloadRecord(revision);
    if (revision < seen) record.complain(`the store stands at ${revision}, but ${seen} was seen in it`);
    const workload = new Workload(options, revision, record, await MachineStalls.watch());
    workload.#start();
    return workload;
  }

  get highest(): Revision {
    return this.record.highest;
  }

  /** Something is about to happen to these areas. */
  trouble(areas: readonly string[]): Trouble {
    return this.#troubles.begin(areas);
  }

  /** Waits until requests for an area go well again; how long that took, in milliseconds. Whatever is too long is a finding. */
  async recovered(area: Area, withinMs: number, after: string): Promise<number> {
    const client = this.#connect();
    const startedAt = performance.now();
    let last = '';
    try {
      for (let good = 0; good < PROBES;) {
        const failed = await this.#probe(client, area);
        good = failed === null ? good + 1 : 0;
        if (failed === null) continue;
        last = failed;
        if (performance.now() - startedAt > withinMs) {
          this.record.complain(`${area.name} did not come back within ${withinMs} ms after ${after}: ${last}`);
          break;
        }
        await pause(PROBE_PAUSE_MS);
      }
    } finally {
      client.close();
    }
    return performance.now() - startedAt;
  }

  /** A write of an area that is well is answered and told to its watch within the time of healthy areas. */
  async serves(area: Area, during: string): Promise<void> {
    const client = this.#connect();
    const key = `${area.prefix}probes/healthy`;
    const outcome = await this.#write(client, [area], key, this.#value('serves'), null);
    client.close();
    if (outcome.type !== 'done') return; // complained of already
    const watcher = this.#watcherOf.get(area.name);
    if (watcher === undefined) throw new Error(`no area is called ${area.name}`);
    const startedAt = performance.now();
    const isTold = await watcher.has(outcome.revision, this.options.healthyWithinMs);
    if (!isTold && !this.#troubles.meets([area.name], startedAt, performance.now())) {
      this.record.complain(
        `${watcher.name} was not told of revision ${outcome.revision} within ${this.options.healthyWithinMs} ms during ${during}${this.stalls.told(startedAt)}`,
      );
    }
  }

  /** What one request for an area is answered at the moment: '' when it goes well. */
  async answer(area: Area): Promise<string> {
    const client = this.#connect();
    const failed = await this.#probe(client, area);
    client.close();
    return failed ?? '';
  }

  complain(what: string): void {
    this.record.complain(what);
  }

  /** Breaks one watch off, chosen by a number. */
  interruptWatch(which: number): void {
    this.#watchers[which % this.#watchers.length]?.interrupt();
  }

  /**
   * Ends the writes, waits until every watch has everything, and judges the round against the log. `restart` may replace the router before the log
   * is read: then it comes from the databases.
   */
  async end(restart: () => Promise<void> = () => Promise.resolve()): Promise<WorkloadVerdict> {
    this.#isEnding = true;
    await this.#writing;
    const client = this.#connect();
    let last = this.base;
    for (const area of this.options.areas) {
      const outcome = await this.#write(client, [area], `${area.prefix}probes/end`, this.#value('end'), null);
      if (outcome.type !== 'done') continue; // complained of already
      last = outcome.revision;
      const watcher = this.#watcherOf.get(area.name);
      if (watcher !== undefined && !(await watcher.has(last, SETTLE_MS))) this.#incomplete(watcher, last);
    }
    const single = new Set(this.#watcherOf.values());
    for (const watcher of this.#watchers) {
      if (!single.has(watcher) && !(await watcher.has(last, SETTLE_MS))) this.#incomplete(watcher, last);
    }
    await this.#list(client, this.options.common, this.options.areas, {});
    const trouble = this.trouble(this.options.areas.map(({ name }) => name));
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
    client.close();
    await restart();
    trouble.end();
    const { truth, isWhole } = await this.#truth(last);
    const judgedClient = this.#connect();
    await this.#list(judgedClient, this.options.common, this.options.areas, {});
    for (const each of this.#clients) each.close();
    await this.stalls.close();
    const { writes, reads, errors, slowestHealthyMs, slowestTroubledMs } = this.record;
    const unknown = writes.filter(({ outcome }) => outcome.type === 'unknown');
    const values = new Set(truth.map(({ value }) => value));
    return {
      // Against half a log everything would look wrong.
      findings: isWhole ? judge({ record: this.record, truth, base: this.base }) : this.record.findings,
      acknowledged: writes.filter(({ outcome }) => outcome.type === 'done').length,
      unknown: unknown.length,
      unknownThatTookPlace: unknown.filter(({ value }) => value !== null && values.has(value)).length,
      reads: reads.length,
      events: truth.length,
      resumptions: this.#watchers.reduce((sum, watcher) => sum + watcher.resumptions, 0),
      errors,
      slowestHealthyMs,
      slowestTroubledMs,
    };
  }

  #start(): void {
    const { areas, common, writers, seed } = this.options;
    for (const [i, { name, prefix }] of areas.entries()) this.#watcherOf.set(name, this.#watch(name, prefix, i % 2 === 0));
    this.#watch('everything', common, true);
    this.#watch('everything without previous values', common, false);
    this.#writing = Promise.all(Array.from({ length: writers }, (_, id) => this.#run(id, new Random(seed * 1000 + id))));
  }

  #watch(name: string, prefix: string, prevKv: boolean): WorkloadWatcher {
    const recorded = { name: `the watch of ${name}`, prefix, prevKv, messages: [] };
    this.record.watches.push(recorded);
    const watcher = new WorkloadWatcher(this.#connect(), recorded, this.record, this.base);
    this.#watchers.push(watcher);
    watcher.start();
    return watcher;
  }

  #incomplete({ name, reached }: WorkloadWatcher, revision: Revision): void {
    this.record.complain(`${name} did not get as far as ${revision} within ${SETTLE_MS} ms: it is at ${reached}`);
  }

  async #run(id: number, random: Random): Promise<void> {
    const { areas, restMs } = this.options;
    const client = this.#connect();
    /** Mod revisions as this writer knows them; they may be out of date. */
    const known = new Map<string, Revision>();
    while (!this.#isEnding) {
      const area = areas[(id + random.below(2)) % areas.length] as Area;
      const key = random.chance(0.3)
        ? `${area.prefix}shared/${random.below(SHARED_KEYS)}`
        : `${area.prefix}of-${id}/${random.below(KEYS_OF_A_WRITER)}`;
      await this.#step(client, { area, key, known, random });
      await pause(random.below(2 * restMs + 1));
    }
  }

  async #step(client: WorkloadClient, { area, key, known, random }: Step): Promise<void> {
    const { areas, common } = this.options;
    const dice = random.next();
    if (dice < 0.7) {
      if (!known.has(key) || random.chance(0.3)) {
        const read = await this.#get(client, area, key);
        if (read === null) return;
        known.set(key, read.kvs[0]?.modRevision ?? 0n);
      }
      const expected = known.get(key) ?? 0n;
      const value = expected > 0n && random.chance(0.25) ? null : this.#value('x'.repeat(random.below(600)));
      const outcome = await this.#write(client, [area], key, value, expected);
      if (outcome.type === 'done') known.set(key, value === null ? 0n : outcome.revision);
      else known.delete(key);
    } else if (dice < 0.78) {
      const outcome = await this.#write(client, [area], key, this.#value('put'), null);
      if (outcome.type === 'done') known.set(key, outcome.revision);
      else known.delete(key);
    } else if (dice < 0.88) {
      const read = await this.#get(client, area, key);
      if (read !== null) known.set(key, read.kvs[0]?.modRevision ?? 0n);
    } else if (dice < 0.94) await this.#list(client, area.prefix, [area], {});
    else if (dice < 0.96) await this.#list(client, common, areas, {});
    else if (dice < 0.98) {
      const back = BigInt(random.below(200));
      const revision = this.record.highest - back > this.base ? this.record.highest - back : this.base;
      await this.#list(client, area.prefix, [area], { revision });
    } else await this.#page(client, area);
  }

  async #page(client: WorkloadClient, area: Area): Promise<void> {
    let from = area.prefix;
    let revision = 0n;
    for (;;) {
      const page = await this.#list(client, area.prefix, [area], { from, revision, limit: PAGE });
      const last = page?.kvs.at(-1);
      if (page === null || last === undefined || !page.more) return;
      revision = revision === 0n ? page.revision : revision;
      from = `${last.key.toString()}\0`;
    }
  }

  async #get(client: WorkloadClient, area: Area, key: string): Promise<EtcdList | null> {
    const asked = this.#ask([area], `a get of ${key}`);
    const answer = this.#settle(asked, await client.ask((it) => it.get(key)));
    if (answer !== null) this.#keep(asked, answer, { prefix: key, from: key, isSingle: true, limit: 0, at: 0n });
    return answer;
  }

  async #list(
    client: WorkloadClient,
    prefix: string,
    areas: readonly Area[],
    { from = prefix, revision = 0n, limit = 0 }: { readonly from?: string; readonly revision?: Revision; readonly limit?: number },
  ): Promise<EtcdList | null> {
    const asked = this.#ask(areas, `a list of ${prefix}${revision === 0n ? '' : ` at ${revision}`}`);
    const answer = this.#settle(asked, await client.ask((it) => it.list(prefix, { from, revision, limit })));
    if (answer !== null) this.#keep(asked, answer, { prefix, from, isSingle: false, limit, at: revision });
    return answer;
  }

  async #write(
    client: WorkloadClient,
    areas: readonly Area[],
    key: string,
    value: string | null,
    expected: Revision | null,
  ): Promise<WriteOutcome> {
    const kind = value === null ? 'a deletion' : 'a put';
    const asked = this.#ask(areas, `${kind} of ${key}${expected === null ? '' : ` guarded by ${expected}`}`);
    const answer = await client.ask(async (it) =>
      expected === null ? { succeeded: true, revision: await it.put(key, value ?? '') } : it.attempt(key, value, expected),
    );
    const attempt = this.#settle(asked, answer);
    const outcome = outcomeOf(attempt, answer);
    this.record.writes.push({ ...asked, key, value, expected, endedAt: performance.now(), outcome });
    if (attempt !== null) this.record.see(attempt.revision);
    return outcome;
  }

  #ask(areas: readonly Area[], what: string): Asked {
    return { areas: areas.map(({ name }) => name), what, startedAt: performance.now(), floor: this.record.highest };
  }

  /** The answer, or null after what was wrong with the failure is noted. */
  #settle<T>({ areas, what, startedAt }: Asked, answer: T | RequestFailed): T | null {
    const now = performance.now();
    const ms = Math.round(now - startedAt);
    const isTroubled = this.#troubles.meets(areas, startedAt, now);
    const { healthyWithinMs, answerWithinMs } = this.options;
    if (isTroubled) this.record.slowestTroubledMs = Math.max(this.record.slowestTroubledMs, ms);
    else this.record.slowestHealthyMs = Math.max(this.record.slowestHealthyMs, ms);
    if (ms > (isTroubled ? answerWithinMs : healthyWithinMs)) {
      const state = isTroubled ? 'in trouble' : 'well';
      const told = answer instanceof RequestFailed ? answer.failure.message : 'an answer';
      this.record.complain(`${what} took ${ms} ms while ${areas.join(', ')} was ${state}, then came ${told}${this.stalls.told(startedAt)}`);
    }
    if (!(answer instanceof RequestFailed)) return answer;
    this.record.errors++;
    if (isTroubled && answer.failure.type === 'unavailable') {
      const { backend, message } = answer.failure;
      // Without the default backend's lease nothing is answered anywhere.
      const isInvolved = areas.includes(backend) || this.#troubles.meets([backend], startedAt, now);
      if (!isInvolved) this.record.complain(`${what} failed because of another backend: ${message}`);
    } else this.#judgeFailure(areas, what, answer.failure, isTroubled);
    return null;
  }

  #judgeFailure(areas: readonly string[], what: string, failure: RequestFailure, isTroubled: boolean): void {
    if (failure.type === 'wrong' || failure.type === 'silent' || !isTroubled) {
      this.record.complain(
        `${what} failed although ${areas.join(', ')} was ${isTroubled ? 'only in trouble' : 'well'}: ${failure.message}`,
      );
    }
  }

  #keep(
    asked: Asked,
    { revision, kvs, count, more }: EtcdList,
    query: Pick<RecordedRead, 'prefix' | 'from' | 'isSingle' | 'limit' | 'at'>,
  ): void {
    const shown = kvs.map((kv) => ({ key: kv.key.toString(), value: kv.value.toString(), modRevision: kv.modRevision }));
    this.record.reads.push({ ...asked, ...query, endedAt: performance.now(), revision, kvs: shown, count, more });
    this.record.see(revision);
  }

  async #probe(client: WorkloadClient, area: Area): Promise<string | null> {
    const key = `${area.prefix}probes/back-${++this.#probes % 4}`;
    const asked = this.#ask([area], `a probe of ${area.name}`);
    const value = this.#value('probe');
    const answer = await client.ask((it) => it.put(key, value));
    const outcome = outcomeOf(answer instanceof RequestFailed ? null : { succeeded: true, revision: answer }, answer);
    this.record.writes.push({ ...asked, key, value, expected: null, endedAt: performance.now(), outcome });
    if (answer instanceof RequestFailed) return answer.failure.message;
    this.record.see(answer);
    const list = await client.ask((it) => it.list(area.prefix));
    return list instanceof RequestFailed ? list.failure.message : null;
  }

  /** The log of the round, as a watch tells it afterwards. */
  async #truth(last: Revision): Promise<{ readonly truth: readonly WatchedEvent[]; readonly isWhole: boolean }> {
    const recorded = { name: 'the log', prefix: this.options.common, prevKv: false, messages: [] };
    const watcher = new WorkloadWatcher(this.#connect(), recorded, this.record, this.base);
    watcher.start();
    const isWhole = await watcher.has(last, SETTLE_MS);
    if (!isWhole) this.#incomplete(watcher, last);
    await watcher.close();
    const { messages } = recorded as { messages: readonly { type: string; events?: readonly WatchedEvent[] }[] };
    return { truth: messages.flatMap((message) => message.events ?? []), isWhole };
  }

  #connect(): WorkloadClient {
    const client = new WorkloadClient(this.options.address, this.options.answerWithinMs * SILENCE_FACTOR);
    this.#clients.push(client);
    return client;
  }

  /** One that no other write has. */
  #value(padding: string): string {
    return `${this.base}-${++this.#values} ${padding}`;
  }
}

interface Step {
  readonly area: Area;
  readonly key: string;
  readonly known: Map<string, Revision>;
  readonly random: Random;
}

function outcomeOf(attempt: { readonly succeeded: boolean; readonly revision: Revision } | null, answer: unknown): WriteOutcome {
  if (attempt !== null) return { type: attempt.succeeded ? 'done' : 'refused', revision: attempt.revision };
  const isCertain = answer instanceof RequestFailed && (answer.failure.type === 'unavailable' || answer.failure.type === 'wrong');
  return { type: isCertain ? 'failed' : 'unknown' };
}

function answered<T>(answer: T | RequestFailed): T {
  if (answer instanceof RequestFailed) throw new Error(`a round cannot begin: ${answer.failure.message}`);
  return answer;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

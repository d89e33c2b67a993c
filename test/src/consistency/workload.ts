/*
 * Clients that do everything at once that the etcd API allows, and keep what each of them was told, for `judge` (judge.ts) to find out
 * whether one sequential keyspace can have told it. In short:
 *
 *   const workload = await startWorkload({ address: () => router.address, areas, common, seed, hasFaults: true });
 *   … kill the router and start it again, as often as you like; `address` is asked whenever a client connects …
 *   const { findings } = judge(await workload.stop()); // the router has to run
 *
 * A client whose router is away waits until it is there again, and goes on; a call that was cut off is of an unknown outcome, and so is one
 * without an answer after `answerWithinMs`. What is there already, of an earlier workload perhaps, is where the judged history begins.
 * Seeds of workloads over the same data have to differ.
 */

import type { Revision } from '@harikube/keyspace';
import { Random } from '@harikube/testing';
import {
  type Area,
  type History,
  type Kv,
  prefixRange,
  type RangeOperation,
  type RecordedCall,
  type RecordedWatch,
  type Request,
  type Result,
} from './history.js';
import { RecordingClient } from './recording-client.js';
import { RecordingStream } from './recording-stream.js';
import { type Knowledge, RequestMix } from './request-mix.js';

export interface WorkloadOptions {
  /** http://HOST:PORT of the router; asked for each connection. */
  readonly address: () => string;
  readonly seed: number;
  /** One for each database. */
  readonly areas: readonly Area[];
  /** What all areas begin with; nobody else writes below it. */
  readonly common: string;
  /** Something will be made to fail: then unavailability and broken streams are no findings. */
  readonly hasFaults: boolean;
  /** Default: 8. */
  readonly clients?: number;
  /** Of each client; default: until `stop`. */
  readonly operations?: number;
  /** Default: 12. */
  readonly keysOfArea?: number;
  /** How long a client rests after each operation, at most; default: not at all. */
  readonly restMs?: number;
  /** Default: 15 s. */
  readonly answerWithinMs?: number;
  /** Whether it compacts; default: it does. */
  readonly compacts?: boolean;
  /** Whether `stop` waits until leases have expired that nobody keeps alive; default: it does. */
  readonly awaitsLeases?: boolean;
}

export interface RunningWorkload {
  /** Resolves when every client has done its operations, or `stop` was called. */
  readonly done: Promise<void>;
  /** The highest revision that anybody was told. */
  readonly highest: Revision;
  /** Calls that have ended so far. */
  readonly operations: number;
  /** Ends the clients, waits until every open watch has everything, and tells what happened. */
  stop(): Promise<History>;
}

/** For the state to be told and watches to come in whole once nobody writes. */
const SETTLE_MS = 30_000;
/** Expired leases are looked for this often, with some time for their keys to be removed. */
const LEASE_GRACE_MS = 2_500;
const WITNESS_PROGRESS_MS = 50;
/** More than any watch begins ahead: a router that does not get there with them never will. */
const FUTURE_WRITES = 200;
const STREAMS_OF_A_CLIENT = 2;
const WATCHES_OF_A_STREAM = 3;
/** A client does something about its watches in so many of its steps. */
const WATCH_CHANCE = 0.06;

export async function startWorkload(options: WorkloadOptions): Promise<RunningWorkload> {
  const workload = new Workload(options);
  await workload.begin();
  return workload;
}

class Workload implements RunningWorkload {
  readonly #calls: RecordedCall[] = [];
  readonly #watches: RecordedWatch[] = [];
  readonly #knowledge: { -readonly [Name in keyof Knowledge]: Knowledge[Name] } & {
    readonly known: Map<string, Revision>;
    readonly leases: bigint[];
  } = {
    highest: 0n,
    compactRevision: 0n,
    compactable: 0n,
    known: new Map(),
    leases: [],
    base: 0n,
  };
  readonly #witness: RecordingClient;
  readonly #clients: RecordingClient[] = [];
  readonly #streams = new Set<RecordingStream>();
  #initial: readonly Kv[] = [];
  #witnessing: Promise<void> = Promise.resolve();
  #lastLeaseEnd = 0;
  /** The highest start that a watch was given. */
  #furthestStart = 0n;
  #isEnding = false;
  #isOver = false;
  done: Promise<void> = Promise.resolve();

  constructor(private readonly options: WorkloadOptions) {
    this.#witness = this.#client(0);
  }

  get highest(): Revision {
    return this.#knowledge.highest;
  }

  get operations(): number {
    return this.#calls.length;
  }

  async begin(): Promise<void> {
    const { common, clients = 8 } = this.options;
    const state = await this.#listAll();
    if (typeof state === 'string')
      throw new Error(`the router at ${this.options.address()} does not tell what is below ${common}: ${state}`);
    const { revision, kvs } = state;
    this.#initial = kvs;
    Object.assign(this.#knowledge, { base: revision, highest: revision, compactable: revision, compactRevision: 0n });
    // The history begins here.
    this.#calls.length = 0;
    this.#witnessing = this.#follow(prefixRange(common));
    this.done = Promise.all(Array.from({ length: clients }, (_, i) => this.#run(i + 1))).then(() => undefined);
  }

  async stop(): Promise<History> {
    this.#isEnding = true;
    await this.done;
    const { awaitsLeases = true } = this.options;
    if (awaitsLeases) await pause(this.#lastLeaseEnd - performance.now());
    await this.#passFutureStarts();
    const state = await this.#listAll();
    if (typeof state !== 'string') {
      for (const stream of this.#streams) stream.demand(state.revision);
      await Promise.all([...this.#streams].map((stream) => stream.catchUp(state.revision, SETTLE_MS)));
    }
    this.#isOver = true;
    for (const stream of this.#streams) stream.close();
    this.#witness.close();
    for (const client of this.#clients) client.close();
    await this.#witnessing;
    const { seed, areas, common, hasFaults } = this.options;
    return {
      seed,
      areas,
      common,
      hasFaults,
      base: this.#knowledge.base,
      initial: this.#initial,
      calls: this.#calls,
      watches: this.#watches,
      untoldEnd: typeof state === 'string' ? state : null,
    };
  }

  /** What is there, asked until it is told; what is said instead where that takes too long. */
  async #listAll(): Promise<{ readonly revision: Revision; readonly kvs: readonly Kv[] } | string> {
    const request = {
      type: 'range',
      ...prefixRange(this.options.common),
      revision: 0n,
      limit: 0,
      keysOnly: false,
      countOnly: false,
    } as const;
    const until = performance.now() + SETTLE_MS;
    let last = '';
    for (let attempt = 0; attempt < 50 && performance.now() < until; attempt++) {
      const outcome = await this.#witness.call(request);
      if (outcome?.type === 'done' && outcome.result.type === 'range') return { revision: outcome.revision, kvs: outcome.result.kvs };
      if (outcome !== null && outcome.type !== 'done') last = outcome.text;
      await pause(100);
    }
    return last;
  }

  /** Writes until no watch waits for a revision to come. */
  async #passFutureStarts(): Promise<void> {
    const [area] = this.options.areas;
    for (let i = 0; area !== undefined && this.highest <= this.#furthestStart && i < FUTURE_WRITES; i++) {
      const value = `${this.options.seed}.end-${i}`;
      await this.#witness.call({ type: 'put', key: `${area.prefix}end`, value, lease: 0n, prevKv: false });
    }
  }

  #client(id: number): RecordingClient {
    const { address, answerWithinMs = 15_000 } = this.options;
    return new RecordingClient({ address, id, answerWithinMs, onCall: (call) => this.#took(call) });
  }

  /** The watch that sees every change, through all lives of the router. */
  async #follow(range: { readonly key: string; readonly end: string }): Promise<void> {
    let reached = this.#knowledge.base;
    for (let life = 1; !this.#isOver; life++) {
      const session = await this.#witness.connect();
      if (session === null) return;
      const stream = this.#open(session);
      if (stream === null) continue;
      const wish = { startRevision: reached + 1n, prevKv: true, noPut: false, noDelete: false, progressNotify: true, fragment: false };
      const id = stream.watch({ name: `witness ${life}`, ...range, ...wish });
      const asking = setInterval(() => {
        stream.requestProgress();
        const told = stream.reached(id);
        if (told > reached) reached = told;
        if (reached > this.#knowledge.compactable) this.#knowledge.compactable = reached;
      }, WITNESS_PROGRESS_MS);
      await stream.ended;
      clearInterval(asking);
      // Told after the last look.
      for (const { messages, name } of this.#watches) if (name === `witness ${life}`) reached = lastTold(messages, reached);
      if (!this.#isOver) this.#witness.lose(session);
    }
  }

  #open(session: NonNullable<Awaited<ReturnType<RecordingClient['connect']>>>): RecordingStream | null {
    try {
      const stream = new RecordingStream(session, {
        onWatch: (watch) => this.#watches.push(watch),
        onRevision: (revision) => this.#see(revision),
      });
      this.#streams.add(stream);
      void stream.ended.then(() => this.#streams.delete(stream));
      return stream;
    } catch {
      return null; // the connection was gone already
    }
  }

  async #run(id: number): Promise<void> {
    const { seed, areas, common, keysOfArea = 12, restMs = 0, operations = Infinity, compacts = true } = this.options;
    const client = this.#client(id);
    this.#clients.push(client);
    const random = new Random(seed * 1000 + id);
    const mix = new RequestMix(`${seed}.${id}`, BigInt(seed) * 1_000_000n + BigInt(id) * 10_000n, random, {
      areas,
      common,
      keysOfArea,
      compacts,
    });
    const watching = new WatchingClient(client, random, (session) => this.#open(session));
    for (let i = 0; i < operations && !this.#isEnding; i++) {
      if (random.chance(WATCH_CHANCE)) {
        const start = await watching.step(mix, this.#knowledge);
        if (start > this.#furthestStart) this.#furthestStart = start;
      }
      const step = mix.next(this.#knowledge);
      if (step.type === 'calls') for (const request of step.requests) await client.call(request);
      else await this.#page(client, step.first);
      if (restMs > 0) await pause(random.below(restMs + 1));
    }
  }

  async #page(client: RecordingClient, first: RangeOperation): Promise<void> {
    for (let page = first; !this.#isEnding;) {
      const outcome = await client.call(page);
      if (outcome?.type !== 'done' || outcome.result.type !== 'range' || !outcome.result.more) return;
      const last = outcome.result.kvs.at(-1);
      if (last === undefined) return;
      page = { ...page, key: `${last.key}\0`, revision: page.revision === 0n ? outcome.revision : page.revision };
    }
  }

  #took(call: RecordedCall): void {
    this.#calls.push(call);
    const { outcome, request, endedAt } = call;
    if (request.type === 'grant' || request.type === 'keep-alive') {
      const ttl = request.type === 'grant' ? request.ttl : 3n;
      this.#lastLeaseEnd = Math.max(this.#lastLeaseEnd, endedAt + Number(ttl) * 1000 + LEASE_GRACE_MS);
    }
    if (outcome.type !== 'done') return;
    this.#see(outcome.revision);
    const knowledge = this.#knowledge;
    if (request.type === 'compact' && request.revision > knowledge.compactRevision) knowledge.compactRevision = request.revision;
    if (request.type === 'grant') knowledge.leases.push(request.lease);
    // Revoked ones are asked for again now and then, too.
    if (knowledge.leases.length > LEASES_KEPT) knowledge.leases.shift();
    this.#learn(request, outcome.revision, outcome.result);
  }

  #learn(request: Request, revision: Revision, result: Result): void {
    const { known } = this.#knowledge;
    if (request.type === 'put') known.set(request.key, revision);
    else if (request.type === 'delete' && request.end === '') known.set(request.key, 0n);
    else if (request.type === 'range' && result.type === 'range') {
      if (request.end === '' && request.revision === 0n && !request.countOnly) known.set(request.key, result.kvs[0]?.modRevision ?? 0n);
    } else if (request.type === 'txn' && result.type === 'txn') {
      (result.succeeded ? request.success : request.failure).forEach((operation, i) => {
        const answer = result.results[i];
        if (answer !== undefined) this.#learn(operation, revision, answer);
      });
    }
  }

  #see(revision: Revision): void {
    if (revision > this.#knowledge.highest) this.#knowledge.highest = revision;
  }
}

const LEASES_KEPT = 6;

function lastTold(messages: RecordedWatch['messages'], reached: Revision): Revision {
  let last = reached;
  for (const message of messages) {
    const told =
      message.type === 'events' ? message.changes.at(-1)?.kv.modRevision : message.type === 'progress' ? message.revision : undefined;
    if (told !== undefined && told > last) last = told;
  }
  return last;
}

/** The watches of one client. */
class WatchingClient {
  readonly #streams: RecordingStream[] = [];
  #watches = 0;

  constructor(
    private readonly client: RecordingClient,
    private readonly random: Random,
    private readonly open: (session: NonNullable<Awaited<ReturnType<RecordingClient['connect']>>>) => RecordingStream | null,
  ) {}

  /** Begins or gives up a watch, or asks for progress. The revision at which a watch begins; 0: none, or at the current one. */
  async step(mix: RequestMix, knowledge: Knowledge): Promise<Revision> {
    const { random } = this;
    const at = random.below(STREAMS_OF_A_CLIENT);
    let stream = this.#streams[at];
    if (stream === undefined || stream.isClosed) {
      const session = await this.client.connect();
      const opened = session === null ? null : this.open(session);
      if (opened === null) return 0n;
      this.#streams[at] = stream = opened;
    }
    const dice = random.next();
    if (dice < 0.3) {
      stream.requestProgress();
      return 0n;
    }
    if (stream.size < WATCHES_OF_A_STREAM) return this.#begin(stream, mix, knowledge);
    if (dice < 0.4) stream.close();
    else if (dice < 0.8) stream.cancel(random.pick(stream.ids));
    return 0n;
  }

  #begin(stream: RecordingStream, mix: RequestMix, { highest, compactRevision, base }: Knowledge): Revision {
    const { random } = this;
    const dice = random.next();
    const oldest = compactRevision > base ? compactRevision : base + 1n;
    let startRevision = 0n;
    if (dice < 0.45) {
      startRevision = highest - BigInt(random.below(random.chance(0.2) ? 1000 : 100));
      if (startRevision < oldest) startRevision = oldest;
    } else if (dice < 0.48) startRevision = compactRevision > base ? oldest - 1n : oldest;
    else if (dice < 0.6) startRevision = highest + 1n + BigInt(random.below(40));
    stream.watch({
      name: `watch ${++this.#watches} of client ${this.client.id}`,
      ...mix.watchRange(),
      startRevision,
      prevKv: random.chance(0.6),
      noPut: random.chance(0.08),
      noDelete: random.chance(0.08),
      progressNotify: random.chance(0.4),
      fragment: random.chance(0.2),
    });
    return startRevision;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}

import { isDeepStrictEqual } from 'node:util';
import { type Answer, Contender, type WatchStory } from './contender.js';
import { isSameAnswer } from './comparison.js';
import { type PlainMessage, showMessage } from './etcd-messages.js';
import { RequestGrammar, type Step, type View, type WatchStreamName } from './request-grammar.js';

/** How long a watch may take to tell what it has to. */
const PATIENCE_MS = 10_000;
/** How long a call may take: a lock may have to wait for the end of a lease, an answer may be of hundreds of megabytes. */
const CALL_PATIENCE_MS = 120_000;
/** etcd answers a progress request only when it happens to be true: clients ask again. */
const PROGRESS_RETRY_MS = 20;
const UNIMPLEMENTED = 12;
const STREAMS: readonly WatchStreamName[] = ['first', 'second', 'future'];
/** Campaigns whose keys are used later. */
const LEADERS_KEPT = 4;

/** The two servers did not do the same. */
export class DifferenceError extends Error {
  override readonly name = 'DifferenceError';
}

export interface EpisodeOptions {
  readonly seed: number;
  readonly steps: number;
  /** The router keeps each group of keys in a database of its own. */
  readonly isSplit: boolean;
  /** Both are empty. */
  readonly etcd: string;
  readonly router: string;
}

/** Asks both servers the same, one request after another, and rejects with DifferenceError at the first answer that is not the same. Tells the steps done. */
export async function runEpisode(options: EpisodeOptions): Promise<number> {
  const { seed, steps, isSplit } = options;
  const grammar = new RequestGrammar(seed, isSplit);
  const episode = new Episode(new Contender('etcd', options.etcd), new Contender('router', options.router));
  let step = 0;
  try {
    for (; step < steps; step++) {
      const next = grammar.next(episode.view);
      try {
        await episode.do(next);
        if (step % 25 === 24) await episode.compareWatches();
      } catch (error) {
        if (!(error instanceof DifferenceError)) throw error;
        throw new DifferenceError(`step ${step}: ${showMessage(next)}\n${error.message}`);
      }
    }
    await episode.compareWatches();
    return step;
  } finally {
    episode.end();
  }
}

class Episode {
  #view: View = { revision: 1n, compactRevision: 0n, leaders: [] };
  /** Watches of a stream that are alive, by id. */
  readonly #alive = new Map<WatchStreamName, Set<bigint>>();

  constructor(
    private readonly etcd: Contender,
    private readonly router: Contender,
  ) {}

  get view(): View {
    return this.#view;
  }

  async do(step: Step): Promise<void> {
    switch (step.kind) {
      case 'call':
        return this.#call(step.method, step.request);
      case 'watch':
        return this.#watch(step.stream, step.request);
      case 'cancel':
        return this.#cancel(step.stream, step.watchId);
      case 'reopen':
        await this.compareWatches([step.stream]);
        return this.#reopen(step.stream);
      case 'refused':
        return this.#refused(step.method, step.request);
    }
  }

  /** Every watch has told the same, and has told all. */
  async compareWatches(streams: readonly WatchStreamName[] = STREAMS): Promise<void> {
    for (const stream of streams) {
      if (this.#aliveOn(stream).size === 0) continue;
      if (stream !== 'future') await this.#catchUpBoth(stream);
      await this.#untilSame(stream);
    }
  }

  end(): void {
    this.etcd.end();
    this.router.end();
  }

  async #call(method: string, request: PlainMessage): Promise<void> {
    // A watch that has not caught up may be overtaken by a compaction in one of the two.
    if (method === 'KV/Compact') await this.compareWatches();
    const [one, other] = await Promise.all([inTime(this.etcd, method, request), inTime(this.router, method, request)]);
    if (!isSameAnswer(method, request, one, other)) throw new DifferenceError(`etcd:   ${show(one)}\nrouter: ${show(other)}`);
    this.#learn(method, request, one);
  }

  #learn(method: string, request: PlainMessage, { code, messages }: Answer): void {
    const [message] = messages;
    if (code !== 0 || message === undefined) return;
    const { revision = 0n } = (message['header'] ?? {}) as { revision?: bigint };
    const { leader } = message as { leader?: PlainMessage };
    this.#view = {
      revision: revision > this.#view.revision ? revision : this.#view.revision,
      compactRevision: method === 'KV/Compact' ? (request['revision'] as bigint) : this.#view.compactRevision,
      leaders: leader === undefined ? this.#view.leaders : [leader, ...this.#view.leaders].slice(0, LEADERS_KEPT),
    };
  }

  async #watch(stream: WatchStreamName, request: PlainMessage): Promise<void> {
    const controls = this.#controls(stream) + 1;
    for (const contender of [this.etcd, this.router]) contender.watch(stream, { create_request: request });
    await this.#untilControls(stream, controls);
    if (stream !== 'once') return;
    const [answer] = this.etcd.story(stream).controls;
    if (answer?.['canceled'] !== true) await this.#untilControls(stream, controls + 1);
    await this.#untilSame(stream);
    this.#reopen(stream);
  }

  async #cancel(stream: WatchStreamName, watchId: bigint): Promise<void> {
    if (!this.#aliveOn(stream).has(watchId)) return;
    await this.compareWatches([stream]);
    const controls = this.#controls(stream) + 1;
    for (const contender of [this.etcd, this.router]) contender.watch(stream, { cancel_request: { watch_id: watchId } });
    await this.#untilControls(stream, controls);
  }

  async #refused(method: string, request: PlainMessage): Promise<void> {
    const { code, text } = await this.router.call(method, request);
    if (code !== UNIMPLEMENTED || !/over the backends ".+", ".+", which cannot be changed as one/.test(text)) {
      throw new DifferenceError(`the router was to refuse it by name and answered ${code} ${text}`);
    }
  }

  #reopen(stream: WatchStreamName): void {
    for (const contender of [this.etcd, this.router]) contender.close(stream);
    this.#alive.delete(stream);
  }

  #aliveOn(stream: WatchStreamName): Set<bigint> {
    let alive = this.#alive.get(stream);
    if (alive === undefined) this.#alive.set(stream, (alive = new Set()));
    return alive;
  }

  #controls(stream: WatchStreamName): number {
    return this.etcd.story(stream).controls.length;
  }

  /** Both have answered so often, with the same. */
  async #untilControls(stream: WatchStreamName, count: number): Promise<void> {
    for (const contender of [this.etcd, this.router]) {
      const story = contender.story(stream);
      await until(contender, story, `its ${count}th answer on the stream ${stream}`, () => story.controls.length >= count);
    }
    const [one = [], other = []] = [this.etcd, this.router].map((contender) => contender.story(stream).controls.slice(0, count));
    if (!isDeepStrictEqual(one, other)) throw new DifferenceError(`etcd:   ${showMessage(one)}\nrouter: ${showMessage(other)}`);
    for (const control of one.slice(count - 1)) {
      const id = (control['watch_id'] ?? 0n) as bigint;
      if (control['canceled'] === true) this.#aliveOn(stream).delete(id);
      else this.#aliveOn(stream).add(id);
    }
  }

  /** Both tell the same progress. A first answer may be to a question of before the last write. */
  async #catchUpBoth(stream: WatchStreamName): Promise<void> {
    const contenders = [this.etcd, this.router];
    const told = (): bigint[] => contenders.map((contender) => contender.story(stream).progress);
    for (let attempt = 0; attempt < 2; attempt++) {
      await Promise.all(contenders.map((contender) => this.#catchUp(contender, stream)));
      const [one, other] = told();
      if (one === other) return;
    }
    throw new DifferenceError(`progress of the stream ${stream}, of etcd and of the router: ${told().join(', ')}`);
  }

  /** Asks for progress until it is told that everything was told. */
  async #catchUp(contender: Contender, stream: WatchStreamName): Promise<void> {
    const story = contender.story(stream);
    // The store may be further than the headers have told: an election writes behind the answer that it gives.
    const { revision } = this.#view;
    const deadline = performance.now() + PATIENCE_MS;
    story.progress = 0n;
    while (story.progress < revision) {
      contender.watch(stream, { progress_request: {} });
      await story.more(PROGRESS_RETRY_MS);
      if (story.error !== null) throw new DifferenceError(`${contender.name}: ${story.error}`);
      if (performance.now() > deadline)
        throw new DifferenceError(`${contender.name} tells no progress to ${revision} on the stream ${stream}`);
    }
  }

  async #untilSame(stream: WatchStreamName): Promise<void> {
    const [one, other] = [this.etcd.story(stream), this.router.story(stream)];
    const deadline = performance.now() + PATIENCE_MS;
    while (!isDeepStrictEqual(one.events, other.events) || one.controls.length !== other.controls.length) {
      if (one.error !== null || other.error !== null) throw new DifferenceError(`the stream ${stream}: ${one.error ?? other.error}`);
      if (performance.now() > deadline) throw new DifferenceError(`events of the stream ${stream}:\n${difference(one, other)}`);
      await Promise.race([one.more(PROGRESS_RETRY_MS), other.more(PROGRESS_RETRY_MS)]);
    }
    one.events.clear();
    other.events.clear();
  }
}

async function inTime(contender: Contender, method: string, request: PlainMessage): Promise<Answer> {
  const late = Promise.withResolvers<never>();
  const refuse = (): void => late.reject(new DifferenceError(`${contender.name} has not answered within ${CALL_PATIENCE_MS / 1000} s`));
  const timer = setTimeout(refuse, CALL_PATIENCE_MS);
  try {
    return await Promise.race([contender.call(method, request), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function until(contender: Contender, story: WatchStory, what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    await story.more(PROGRESS_RETRY_MS);
    if (story.error !== null) throw new DifferenceError(`${contender.name}: ${story.error}`);
    if (performance.now() > deadline) throw new DifferenceError(`${contender.name} has not given ${what}`);
  }
}

function difference(one: WatchStory, other: WatchStory): string {
  const lines: string[] = [];
  for (const id of new Set([...one.events.keys(), ...other.events.keys()])) {
    const [left, right] = [one.events.get(id) ?? [], other.events.get(id) ?? []];
    const at = left.findIndex((event, i) => !isDeepStrictEqual(event, right[i]));
    const from = at < 0 ? left.length : at;
    if (left.length === right.length && at < 0) continue;
    lines.push(`watch ${id}, event ${from} of ${left.length} and ${right.length}`);
    lines.push(`etcd:   ${showMessage(left.slice(from, from + 3))}`, `router: ${showMessage(right.slice(from, from + 3))}`);
  }
  if (one.controls.length !== other.controls.length)
    lines.push(`etcd:   ${showMessage(one.controls)}`, `router: ${showMessage(other.controls)}`);
  return lines.join('\n');
}

function show({ code, text, messages }: Answer): string {
  return code === 0 ? showMessage(messages) : `${code} ${text}`;
}

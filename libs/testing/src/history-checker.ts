import type { Revision } from '@harikube/keyspace';

/** One change, as a watch tells it. Keys and values are text, one character a byte. */
export interface WatchedEvent {
  readonly revision: Revision;
  readonly key: string;
  readonly isDelete: boolean;
  /** Empty for a deletion. */
  readonly value: string;
  readonly createRevision: Revision;
  readonly version: bigint;
  /** What was replaced, when the watch asked for it. */
  readonly prev: { readonly revision: Revision; readonly value: string } | null;
}

/** What one watch was told, message by message. */
export type WatchedMessage =
  | { readonly type: 'events'; readonly revision: Revision; readonly events: readonly WatchedEvent[] }
  | { readonly type: 'progress'; readonly revision: Revision };

export interface WatchHistory {
  readonly name: string;
  /** Which keys the watch covers. */
  readonly covers: (key: string) => boolean;
  /** The first revision that is its business. */
  readonly from: Revision;
  readonly prevKv: boolean;
  readonly noPut?: boolean;
  readonly noDelete?: boolean;
  /** Up to here the store was compacted while the watch ran: what these changes replaced may be gone. */
  readonly compactRevision?: Revision;
  readonly messages: readonly WatchedMessage[];
}

/** A write that was acknowledged. `value` null: a deletion. */
export interface AcknowledgedWrite {
  readonly revision: Revision;
  readonly key: string;
  readonly value: string | null;
  /** Points on one clock that is never set back. */
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface ListedState {
  /** The header's revision. */
  readonly revision: Revision;
  readonly covers: (key: string) => boolean;
  readonly kvs: readonly { readonly key: string; readonly value: string; readonly modRevision: Revision }[];
  /** The answer's count and whether its limit cut it; absent: the answer is whole. */
  readonly count?: number;
  readonly limit?: number;
}

interface Living {
  readonly revision: Revision;
  readonly createRevision: Revision;
  readonly version: bigint;
  readonly value: string;
}

/**
 * Judges what clients saw against the one true order of changes, by the rules of etcd's watch contract: filtered, ordered,
 * unique, atomic, reliable, with truthful progress, creation marks and previous values. Every complaint is a sentence.
 */
export class HistoryChecker {
  readonly #problems: string[] = [];
  /** The state before each event, and after it. */
  readonly #living = new Map<string, Living>();
  readonly #before = new Map<string, Living | undefined>();

  /** `truth`: every change of the store, in order; what the log tells, or a watch over everything from the beginning. */
  constructor(private readonly truth: readonly WatchedEvent[]) {
    let last = 0n;
    for (const event of truth) {
      if (event.revision < last) this.#complain('the log', `goes back from revision ${last} to ${event.revision}`);
      last = event.revision;
      const before = this.#living.get(event.key);
      if (this.#before.has(nameOf(event))) this.#complain('the log', `has ${describe(event)} twice`);
      this.#before.set(nameOf(event), before);
      this.#checkLineage('the log', event, before);
      if (event.isDelete) this.#living.delete(event.key);
      else this.#living.set(event.key, event);
    }
  }

  get problems(): readonly string[] {
    return this.#problems;
  }

  /** `isCurrent`: the watch was waited for until it had everything. */
  checkWatch(watch: WatchHistory, isCurrent: boolean): void {
    const wanted = this.truth.filter((event) => event.revision >= watch.from && watch.covers(event.key) && isTold(watch, event));
    let next = 0;
    let progress = 0n;
    let lastRevision = 0n;
    const seen = new Set<string>();
    for (const message of watch.messages) {
      if (message.type === 'progress') {
        if (message.revision < progress) this.#complain(watch.name, `was told progress ${message.revision} after ${progress}`);
        progress = message.revision;
        const missing = wanted[next];
        if (missing !== undefined && missing.revision <= progress) {
          this.#complain(watch.name, `was told progress ${progress} before ${describe(missing)}`);
        }
        continue;
      }
      if (message.events.length === 0) this.#complain(watch.name, 'was sent a message without events');
      const first = message.events[0];
      if (first !== undefined && first.revision === lastRevision)
        this.#complain(watch.name, `got revision ${lastRevision} in two messages`);
      for (const event of message.events) {
        if (!watch.covers(event.key)) this.#complain(watch.name, `got ${describe(event)} of a key that it does not cover`);
        if (event.revision < watch.from) this.#complain(watch.name, `got ${describe(event)}, but it starts at ${watch.from}`);
        if (event.revision < lastRevision) this.#complain(watch.name, `got ${describe(event)} after revision ${lastRevision}`);
        if (event.revision <= progress) this.#complain(watch.name, `got ${describe(event)} after progress ${progress}`);
        if (event.revision > message.revision) this.#complain(watch.name, `got ${describe(event)} under the header ${message.revision}`);
        if (seen.has(nameOf(event))) this.#complain(watch.name, `got ${describe(event)} twice`);
        seen.add(nameOf(event));
        const expected = wanted[next++];
        if (
          expected === undefined ||
          nameOf(expected) !== nameOf(event) ||
          expected.isDelete !== event.isDelete ||
          expected.value !== event.value
        ) {
          this.#complain(watch.name, `got ${describe(event)} where ${expected === undefined ? 'nothing' : describe(expected)} was due`);
          if (this.#problems.length > 20) return;
        }
        lastRevision = event.revision;
        this.#checkLineage(watch.name, event, this.#before.get(nameOf(event)));
        this.#checkPrev(watch, event);
      }
    }
    const missing = wanted[next];
    if (isCurrent && missing !== undefined) {
      this.#complain(watch.name, `lacks ${wanted.length - next} events from ${describe(missing)} on`);
    }
  }

  /** Every acknowledged write is in the log under its own revision, and the order of revisions is that of time. */
  checkWrites(writes: readonly AcknowledgedWrite[]): void {
    const truth = new Map(this.truth.map((event) => [nameOf(event), event]));
    const revisions = new Set<Revision>();
    for (const write of writes) {
      const event = truth.get(nameOf(write));
      const name = `revision ${write.revision} of ${JSON.stringify(write.key)}`;
      if (revisions.has(write.revision)) this.#complain('the store', `acknowledged revision ${write.revision} twice`);
      revisions.add(write.revision);
      if (event === undefined) this.#complain('the log', `lacks the acknowledged ${name}`);
      else if (event.isDelete !== (write.value === null) || (write.value !== null && event.value !== write.value)) {
        this.#complain('the log', `has something else than was acknowledged as ${name}`);
      }
    }
    const byEnd = [...writes].sort((a, b) => a.endedAt - b.endedAt);
    const byStart = [...writes].sort((a, b) => a.startedAt - b.startedAt);
    let ended = 0;
    let highest = 0n;
    for (const write of byStart) {
      for (let done = byEnd[ended]; done !== undefined && done.endedAt < write.startedAt; done = byEnd[++ended]) {
        if (done.revision > highest) highest = done.revision;
      }
      if (write.revision <= highest)
        this.#complain('the store', `gave revision ${write.revision} to a write that began after ${highest} was acknowledged`);
    }
  }

  /** Between the first and the last change no revision is missing: for runs in which nothing failed. */
  checkGapless(): void {
    let last: Revision | null = null;
    for (const { revision } of this.truth) {
      if (last !== null && revision > last + 1n) this.#complain('the log', `has nothing between the revisions ${last} and ${revision}`);
      last = revision;
    }
  }

  /** A list is exactly the state at its revision. */
  checkList(list: ListedState): void {
    const state = new Map<string, WatchedEvent>();
    for (const event of this.truth) {
      if (event.revision > list.revision) break;
      if (event.isDelete) state.delete(event.key);
      else if (list.covers(event.key)) state.set(event.key, event);
    }
    const wanted = [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const shown = list.limit === undefined || list.limit === 0 ? wanted : wanted.slice(0, list.limit);
    const told = list.kvs.map(listed).join(' ');
    const due = shown.map((event) => listed({ key: event.key, value: event.value, modRevision: event.revision })).join(' ');
    if (told !== due) this.#complain(`a list at ${list.revision}`, `shows ${told || 'nothing'} instead of ${due || 'nothing'}`);
    if (list.count !== undefined && list.count !== wanted.length) {
      this.#complain(`a list at ${list.revision}`, `counts ${list.count} instead of ${wanted.length}`);
    }
  }

  #checkLineage(who: string, event: WatchedEvent, before: Living | undefined): void {
    if (event.isDelete) {
      if (event.createRevision !== 0n || event.version !== 0n)
        this.#complain(who, `has ${describe(event)} with more than its key and revision`);
      if (before === undefined) this.#complain(who, `has ${describe(event)} of a key that did not exist`);
      return;
    }
    const createRevision = before?.createRevision ?? event.revision;
    const version = (before?.version ?? 0n) + 1n;
    if (event.createRevision !== createRevision || event.version !== version) {
      this.#complain(
        who,
        `has ${describe(event)} created at ${event.createRevision} in version ${event.version}, not ${createRevision} and ${version}`,
      );
    }
  }

  #checkPrev(watch: WatchHistory, event: WatchedEvent): void {
    const before = watch.prevKv ? this.#before.get(nameOf(event)) : undefined;
    const told = event.prev === null ? 'none' : `${event.prev.revision} ${event.prev.value}`;
    const due = before === undefined ? 'none' : `${before.revision} ${before.value}`;
    if (told === 'none' && event.revision <= (watch.compactRevision ?? 0n)) return;
    if (told !== due) this.#complain(watch.name, `got ${describe(event)} with the previous value ${told} instead of ${due}`);
  }

  #complain(who: string, what: string): void {
    this.#problems.push(`${who} ${what}`);
  }
}

function isTold(watch: WatchHistory, event: WatchedEvent): boolean {
  return event.isDelete ? watch.noDelete !== true : watch.noPut !== true;
}

function nameOf(event: { readonly revision: Revision; readonly key: string }): string {
  return `${event.revision} ${event.key}`;
}

function describe(event: WatchedEvent): string {
  return `the ${event.isDelete ? 'deletion' : 'put'} of ${JSON.stringify(event.key)} at ${event.revision}`;
}

function listed(kv: { readonly key: string; readonly value: string; readonly modRevision: Revision }): string {
  return `${kv.key}=${kv.value.length > 40 ? `(${kv.value.length})` : kv.value}@${kv.modRevision}`;
}

import type { Revision } from '@harikube/keyspace';
import { type Change, covers, type RecordedWatch, type WatchMessage } from './history.js';
import type { Finding } from './finding.js';
import { isSameKv } from './model.js';
import { showChange, showKv } from './show.js';
import type { Tellings } from './tellings.js';

export interface JudgedWatch {
  readonly watch: RecordedWatch;
  /** The first revision that is its business. */
  readonly from: Revision;
  /** What it has to be sent, in order, each with what it replaced. */
  readonly due: readonly { readonly revision: Revision; readonly change: Change }[];
  readonly tellings: Tellings;
  readonly hasFaults: boolean;
}

/** A stream that the router ends so is resumed by clients. */
const UNAVAILABLE = 14;
const LOST = -1;
const MAX_FINDINGS = 5;

/** By the rules of etcd's watch contract: filtered, ordered, unique, complete, atomic, with true progress, contents and previous values. */
export function judgeWatch(judged: JudgedWatch): Finding[] {
  return new WatchJudge(judged).findings;
}

class WatchJudge {
  readonly findings: Finding[] = [];
  /** How many of those that are due were sent. */
  #next = 0;
  #progress: Revision = 0n;
  #last: Revision = 0n;
  #header: Revision = 0n;
  #isFragmented = false;
  readonly #sent = new Set<string>();

  constructor(private readonly judged: JudgedWatch) {
    const { watch, tellings, from } = judged;
    for (const message of watch.messages) {
      if (this.findings.length >= MAX_FINDINGS) return;
      this.#take(message);
    }
    const [first] = watch.messages;
    const compacted = tellings.compactedBefore(watch.startedAt);
    if (watch.startRevision > 0n && from < compacted && watch.messages.some(({ type }) => type === 'events' || type === 'progress')) {
      this.#complain('compaction', `it began at ${from} and went on, but ${compacted} was compacted before`, from);
    }
    if (first !== undefined && first.type !== 'created' && first.type !== 'canceled' && first.type !== 'broken') {
      this.#complain('watch order', 'its first message is not that it was created', null);
    }
    this.#judgeEnd();
  }

  #take(message: WatchMessage): void {
    switch (message.type) {
      case 'created': {
        const floor = this.judged.tellings.before(this.judged.watch.startedAt);
        if (message.revision < floor)
          this.#complain('watch header', `it was created under ${message.revision}, but ${floor} had been told`, floor);
        this.#header = message.revision;
        break;
      }
      case 'events':
        this.#takeEvents(message);
        break;
      case 'progress':
        this.#takeProgress(message.revision);
        break;
      case 'canceled':
        this.#takeCancellation(message);
        break;
      case 'broken':
        if (!this.judged.hasFaults) this.#complain('watch end', `its stream ended with ${message.code} ${message.text}`, null);
        else if (message.code !== UNAVAILABLE && message.code !== LOST)
          this.#complain('watch end', `its stream ended with ${message.code} ${message.text}, which clients do not resume from`, null);
    }
  }

  #takeEvents({ revision, changes, isFragment }: WatchMessage & { readonly type: 'events' }): void {
    const first = changes[0]?.kv.modRevision ?? 0n;
    if (first === this.#last && !this.#isFragmented) this.#complain('watch atomic', `revision ${first} came in two messages`, first);
    this.#isFragmented = isFragment;
    if (revision < this.#header) this.#complain('watch header', `a header of ${revision} came after ${this.#header}`, revision);
    this.#header = revision;
    for (const change of changes) {
      if (this.findings.length >= MAX_FINDINGS) return;
      this.#takeChange(change, revision);
    }
  }

  #takeChange(change: Change, header: Revision): void {
    const { watch, from, due } = this.judged;
    const { key, modRevision } = change.kv;
    const shown = showChange(change);
    if (modRevision > header) this.#complain('watch header', `${shown} came under the header ${header}`, modRevision);
    if (modRevision <= this.#progress) this.#complain('watch progress', `${shown} came after progress ${this.#progress}`, modRevision);
    if (!covers(watch, key) || modRevision < from || (change.isDelete ? watch.noDelete : watch.noPut)) {
      this.#complain('watch filter', `${shown} is none of its own, from ${from} on`, modRevision);
      return;
    }
    const name = `${modRevision} ${key}`;
    if (this.#sent.has(name)) {
      this.#complain('watch unique', `${shown} came twice`, modRevision);
      return;
    }
    this.#sent.add(name);
    if (modRevision < this.#last) {
      this.#complain('watch order', `${shown} came after ${this.#last}`, modRevision);
      return;
    }
    this.#last = modRevision;
    this.#skipMissing(name, shown);
    const expected = due[this.#next]?.change;
    // The judge of changes has said already that nobody asked for it.
    if (expected === undefined || nameOf(expected) !== name) return;
    this.#next++;
    if (expected.isDelete !== change.isDelete || !isSameKv(expected.kv, change.kv))
      this.#complain('watch event', `${shown} came as ${showKv(change.kv)} instead of ${showKv(expected.kv)}`, modRevision);
    this.#judgePrev(change, expected);
  }

  /** What was due before a change and did not come. */
  #skipMissing(name: string, shown: string): void {
    const { due } = this.judged;
    const at = due.findIndex(({ change }, i) => i >= this.#next && nameOf(change) === name);
    if (at < 0 || at === this.#next) return;
    const missing = due[this.#next] as { readonly revision: Revision; readonly change: Change };
    // Within one revision the order of keys is the router's choice as long as it is that of the operations.
    this.#complain('watch complete', `${showChange(missing.change)} is missing before ${shown}`, missing.revision);
    this.#next = at;
  }

  #judgePrev({ kv, prev }: Change, expected: Change): void {
    const { watch, tellings } = this.judged;
    const due = watch.prevKv ? expected.prev : null;
    if (isSameKv(prev, due)) return;
    // What a change at the compaction has replaced may be gone.
    if (prev === null && kv.modRevision <= tellings.compactedAfter(Infinity)) return;
    this.#complain(
      'watch prev_kv',
      `${showChange(expected)} came with ${showKv(prev)} as what it replaced instead of ${showKv(due)}`,
      kv.modRevision,
    );
  }

  #takeProgress(revision: Revision): void {
    const { due, watch } = this.judged;
    if (revision < this.#progress) this.#complain('watch progress', `progress went back from ${this.#progress} to ${revision}`, revision);
    this.#progress = revision;
    if (revision === 0n) this.#complain('watch progress', 'progress 0 is none', null);
    if (revision < watch.startRevision)
      this.#complain('watch progress', `progress ${revision} came, but it starts at ${watch.startRevision}`, revision);
    const missing = due[this.#next];
    if (missing !== undefined && missing.revision <= revision) {
      this.#complain('watch progress', `progress ${revision} came before ${showChange(missing.change)}`, missing.revision);
      while ((due[this.#next]?.revision ?? revision + 1n) <= revision) this.#next++;
    }
  }

  #takeCancellation({ at, compactRevision, reason }: WatchMessage & { readonly type: 'canceled' }): void {
    const { tellings, from } = this.judged;
    if (compactRevision === 0n) {
      this.#complain('watch end', `it was canceled by the router: ${reason || 'for no reason'}`, null);
      return;
    }
    const asked = tellings.compactedAfter(at);
    if (compactRevision > asked)
      this.#complain(
        'compaction',
        `it was canceled as compacted at ${compactRevision}, but nobody went further than ${asked}`,
        compactRevision,
      );
    const reached = [from - 1n, this.#last, this.#progress].reduce((a, b) => (a > b ? a : b));
    if (reached + 1n >= compactRevision)
      this.#complain(
        'compaction',
        `it was canceled as compacted at ${compactRevision}, but had everything up to ${reached}`,
        compactRevision,
      );
  }

  #judgeEnd(): void {
    const { watch, due } = this.judged;
    const { dueThrough } = watch;
    if (dueThrough === null || watch.messages.some(({ type }) => type === 'canceled' || type === 'broken')) return;
    const missing = due[this.#next];
    if (missing !== undefined && missing.revision <= dueThrough)
      this.#complain('watch complete', `${showChange(missing.change)} never came`, missing.revision);
    else if (this.#progress < dueThrough && this.#last < dueThrough)
      this.#complain('watch end', `it was never told that it has everything up to ${dueThrough}; it is at ${this.#progress}`, dueThrough);
  }

  #complain(rule: Finding['rule'], text: string, revision: Revision | null): void {
    this.findings.push({ rule, text, revision });
  }
}

function nameOf({ kv }: Change): string {
  return `${kv.modRevision} ${kv.key}`;
}

import type { Revision } from '@harikube/keyspace';
import type { Finding, Rule } from './finding.js';
import {
  covers,
  type Change,
  type History,
  type Kv,
  type Operation,
  type OperationResult,
  prefixRange,
  type RecordedCall,
  type RecordedWatch,
} from './history.js';
import { Leases } from './lease-judge.js';
import { answerRange, isSameKv, KeyspaceModel, perform, type View } from './model.js';
import { showCall, showChange, showResult } from './show.js';
import { Tellings } from './tellings.js';
import { judgeWatch } from './watch-judge.js';

export interface Verdict {
  readonly findings: readonly Finding[];
  readonly calls: number;
  readonly reads: number;
  readonly writes: number;
  readonly unknown: number;
  /** Of the unknown ones so many were seen to have taken place. */
  readonly unknownThatTookPlace: number;
  readonly watches: number;
  /** Events that watches were sent. */
  readonly events: number;
  readonly compactions: number;
  /** Revisions at which something changed. */
  readonly revisions: number;
}

/** The first ones tell what is wrong; what follows from them would fill pages. */
const MAX_FINDINGS = 50;

/**
 * Judges a history against one sequential keyspace. Since every answer carries a revision and every write has one of its own, the order is
 * given, and what remains is to go through it once: write by write, then every read and every watch against the states that came of it.
 */
export function judge(history: History): Verdict {
  return new Judge(history).verdict();
}

/** What was seen of one revision. */
interface Evidence {
  readonly changes: Map<string, Change>;
  /** When it was told first. */
  firstAt: number;
  /** A watch of everything was sent it: there are no other changes at that revision. */
  isWhole: boolean;
}

class Judge {
  readonly #findings: Finding[] = [];
  readonly #model: KeyspaceModel;
  readonly #tellings: Tellings;
  readonly #leases: Leases;
  readonly #evidence = new Map<Revision, Evidence>();
  /** Every change, in order: what watches have to be sent. */
  readonly #truth: { readonly revision: Revision; readonly change: Change }[] = [];
  readonly #unknown: Set<RecordedCall>;
  readonly #unknownCount: number;

  constructor(private readonly history: History) {
    this.#model = new KeyspaceModel(history.initial);
    this.#tellings = new Tellings(history);
    this.#leases = new Leases(history);
    const unknown = history.calls.filter(({ outcome, request }) => outcome.type === 'unknown' && isWrite(request.type));
    this.#unknown = new Set(unknown.sort((a, b) => breadth(a) - breadth(b) || a.startedAt - b.startedAt));
    this.#unknownCount = this.#unknown.size;
  }

  verdict(): Verdict {
    const { untoldEnd } = this.history;
    if (untoldEnd !== null) this.#complain('refusal', `in the end the router does not tell its state, but: ${untoldEnd}`, null);
    this.#collectEvidence();
    const written = this.#writtenCalls();
    const revisions = [...new Set([...written.keys(), ...this.#evidence.keys()])].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    for (const revision of revisions) this.#settle(revision, written.get(revision) ?? []);
    const settled = new Set([...written.values()].flat());
    for (const call of this.history.calls) if (!settled.has(call)) this.#judgeCall(call);
    for (const watch of this.history.watches) this.#judgeWatch(watch);
    for (const finding of this.#leases.judgeEnd(this.#model)) this.#complain('lease', finding, null);
    const { calls, watches } = this.history;
    return {
      findings: this.#findings,
      calls: calls.length,
      reads: calls.filter(({ request }) => request.type === 'range').length,
      writes: settled.size,
      unknown: this.#unknownCount,
      unknownThatTookPlace: this.#unknownCount - this.#unknown.size,
      watches: watches.length,
      events: watches.reduce(
        (sum, { messages }) => sum + messages.reduce((all, each) => all + (each.type === 'events' ? each.changes.length : 0), 0),
        0,
      ),
      compactions: calls.filter(({ request, outcome }) => request.type === 'compact' && outcome.type === 'done').length,
      revisions: revisions.length,
    };
  }

  #complain(rule: Rule, text: string, revision: Revision | null): void {
    if (this.#findings.length < MAX_FINDINGS) this.#findings.push({ rule, text, revision });
  }

  /** From watches, and from what reads have shown: a key that lives was put at its mod revision. */
  #collectEvidence(): void {
    const everything = prefixRange(this.history.common);
    for (const { messages, key, end, noPut, noDelete } of this.history.watches) {
      const isOfAll = key === everything.key && end === everything.end && !noPut && !noDelete;
      for (const message of messages) {
        if (message.type !== 'events') continue;
        for (const change of message.changes) this.#keepEvidence(change, message.at, isOfAll);
      }
    }
    for (const { outcome, endedAt } of this.history.calls) {
      if (outcome.type !== 'done') continue;
      for (const kv of shownKvs(outcome.result)) this.#keepEvidence({ isDelete: false, kv, prev: null }, endedAt, false);
    }
  }

  #keepEvidence(change: Change, at: number, isOfAll: boolean): void {
    const revision = change.kv.modRevision;
    if (revision <= this.history.base) return;
    let evidence = this.#evidence.get(revision);
    if (evidence === undefined) this.#evidence.set(revision, (evidence = { changes: new Map(), firstAt: at, isWhole: false }));
    if (at < evidence.firstAt) evidence.firstAt = at;
    if (isOfAll) evidence.isWhole = true;
    const { key } = change.kv;
    const known = evidence.changes.get(key);
    if (known === undefined) evidence.changes.set(key, change);
    else if (known.isDelete !== change.isDelete || areOtherValues(known.kv.value, change.kv.value)) {
      this.#complain('contradiction', `${showChange(known)} was told, and ${showChange(change)}`, revision);
    }
  }

  /** Acknowledged calls that wrote, by their revision. */
  #writtenCalls(): Map<Revision, RecordedCall[]> {
    const written = new Map<Revision, RecordedCall[]>();
    for (const call of this.history.calls) {
      const { request, outcome } = call;
      if (outcome.type !== 'done' || !hasWritten(request as Operation, outcome.result as OperationResult)) continue;
      const others = written.get(outcome.revision);
      if (others === undefined) written.set(outcome.revision, [call]);
      else others.push(call);
    }
    return written;
  }

  /** Finds out what changed at a revision, and goes on from there. */
  #settle(revision: Revision, calls: readonly RecordedCall[]): void {
    const [call, other] = calls;
    if (call !== undefined && other !== undefined) {
      this.#complain('reused revision', `${showCall(call)} and ${showCall(other)} have one revision`, revision);
    }
    const view = this.#model.at(revision - 1n);
    const evidence = this.#evidence.get(revision);
    const written = new Map<string, Kv | null>();
    if (calls.length > 0) for (const each of calls) for (const [key, kv] of this.#judgeWrite(each, view)) written.set(key, kv);
    else if (evidence !== undefined) for (const [key, kv] of this.#explain(revision, evidence, view)) written.set(key, kv);
    if (evidence !== undefined && calls.length > 0) {
      for (const [key, change] of evidence.changes) {
        if (!written.has(key)) {
          this.#complain(
            'unexplained change',
            `${showChange(change)} was told, but revision ${revision} is ${showCall(calls[0] as RecordedCall)}`,
            revision,
          );
        }
      }
    }
    for (const [key, kv] of written) {
      const gone = { key, value: '', createRevision: 0n, modRevision: revision, version: 0n, lease: 0n };
      this.#truth.push({ revision, change: { isDelete: kv === null, kv: kv ?? gone, prev: view.get(key) } });
    }
    this.#model.apply(revision, written);
  }

  /** An acknowledged write against what was there just before it. */
  #judgeWrite(call: RecordedCall, view: View): ReadonlyMap<string, Kv | null> {
    const { request, outcome, startedAt } = call;
    if (outcome.type !== 'done') return NOTHING;
    const { revision } = outcome;
    const floor = this.#tellings.before(startedAt);
    if (revision <= floor) this.#complain('revision not above', `${showCall(call)} was sent when ${floor} had been told`, revision);
    const effect = perform(view, request as Operation, revision);
    this.#compareResults(call, effect.result, revision, 'write result');
    const lease = this.#leases.wrongUse(call);
    if (lease !== null) this.#complain('lease', lease, revision);
    return effect.written;
  }

  /** Changes that no acknowledged call accounts for: an ended lease, or a call of unknown outcome. */
  #explain(revision: Revision, evidence: Evidence, view: View): ReadonlyMap<string, Kv | null> {
    const ended = this.#leases.explain([...evidence.changes.values()], evidence.firstAt, view);
    if (ended !== null) return new Map([...ended].map((key) => [key, null]));
    for (const call of this.#unknown) {
      if (call.startedAt > evidence.firstAt || this.#tellings.before(call.startedAt) >= revision) continue;
      const { written } = perform(view, call.request as Operation, revision);
      if (evidence.isWhole && written.size !== evidence.changes.size) continue;
      if (
        written.size === 0 ||
        ![...evidence.changes].every(([key, change]) => written.has(key) && isSame(written.get(key) ?? null, change))
      )
        continue;
      this.#unknown.delete(call);
      return written;
    }
    const shown = [...evidence.changes.values()].map(showChange).join(', ');
    this.#complain('unexplained change', `${shown}: nobody asked for it, or it was refused`, revision);
    return new Map([...evidence.changes].map(([key, { isDelete, kv }]) => [key, isDelete ? null : kv]));
  }

  /** A call that has changed nothing. */
  #judgeCall(call: RecordedCall): void {
    const { request, outcome, startedAt } = call;
    if (outcome.type === 'unknown') {
      if (!this.history.hasFaults) this.#complain('refusal', `${showCall(call)} although nothing was made to fail`, null);
      return;
    }
    if (outcome.type === 'refused') {
      const finding = this.#judgeRefusal(call, outcome);
      if (finding !== null) this.#complain(...finding);
      return;
    }
    const { revision } = outcome;
    const floor = this.#tellings.before(startedAt);
    if (revision < floor) this.#complain('stale header', `${showCall(call)} was sent when ${floor} had been told`, revision);
    switch (request.type) {
      case 'range': {
        if (request.revision > revision) this.#complain('read', `${showCall(call)} is about a revision above its header`, revision);
        const at = request.revision === 0n ? revision : request.revision;
        if (request.revision > 0n && request.revision < this.#tellings.compactedBefore(startedAt)) {
          this.#complain('compaction', `${showCall(call)} was answered, but it is compacted`, request.revision);
        }
        this.#compareResults(call, answerRange(this.#model.at(at).range(request), request), at, 'read');
        break;
      }
      case 'put':
      case 'delete':
      case 'txn':
        this.#compareResults(call, perform(this.#model.at(revision), request, revision + 1n).result, revision, 'read');
        break;
      case 'compact':
        if (request.revision > revision) this.#complain('compaction', `${showCall(call)} is above the current revision`, revision);
        if (request.revision <= this.#tellings.compactedBefore(startedAt))
          this.#complain('compaction', `${showCall(call)} was done before`, request.revision);
        break;
      case 'grant':
      case 'revoke':
      case 'keep-alive': {
        const finding = this.#leases.judgeCall(call);
        if (finding !== null) this.#complain('lease', finding, null);
      }
    }
  }

  #compareResults(call: RecordedCall, due: OperationResult, at: Revision, rule: Rule): void {
    if (call.outcome.type !== 'done') return;
    const told = call.outcome.result as OperationResult;
    const wrong = differenceOf(told, due);
    if (wrong === null) return;
    const text = `${showCall(call)} should have been answered at ${at} with ${showResult(due)}`;
    this.#complain(wrong === 'result' ? rule : wrong, text, at);
  }

  #judgeRefusal(
    call: RecordedCall,
    { code, text }: { readonly code: number; readonly text: string },
  ): [Rule, string, Revision | null] | null {
    const { request, startedAt, endedAt } = call;
    const shown = showCall(call);
    if (code === UNAVAILABLE) return this.history.hasFaults ? null : ['refusal', `${shown} although nothing was made to fail`, null];
    if (text.endsWith('required revision has been compacted')) {
      if (request.type !== 'range' && request.type !== 'compact') return ['refusal', shown, null];
      const compacted = this.#tellings.compactedAfter(endedAt);
      const isRight = request.type === 'range' ? request.revision > 0n && request.revision < compacted : request.revision <= compacted;
      return isRight ? null : ['compaction', `${shown}, but nobody had compacted further than ${compacted}`, request.revision];
    }
    if (text.endsWith('required revision is a future revision')) {
      if (request.type !== 'range' && request.type !== 'compact') return ['refusal', shown, null];
      const floor = this.#tellings.before(startedAt);
      return request.revision > floor ? null : ['stale header', `${shown}, but ${floor} had been told before`, request.revision];
    }
    if (code === NOT_FOUND) {
      const finding = this.#leases.wrongRefusal(call);
      return finding === null ? null : ['lease', finding, null];
    }
    if (code === UNIMPLEMENTED && this.#areasOf(request as Operation).size > 1) return null;
    return ['refusal', shown, null];
  }

  /** Databases that an operation is about. */
  #areasOf(operation: Operation): Set<string> {
    const { areas } = this.history;
    const ranges: { readonly key: string; readonly end: string }[] = [];
    const collect = (each: Operation): void => {
      if (each.type === 'txn') {
        ranges.push(...each.compares);
        for (const inner of [...each.success, ...each.failure]) collect(inner);
      } else ranges.push({ key: each.key, end: each.type === 'put' ? '' : each.end });
    };
    if (isWrite(operation.type)) collect(operation);
    const meets = ({ key, end }: { readonly key: string; readonly end: string }, prefix: string): boolean =>
      end === '' ? key.startsWith(prefix) : (key < prefix || key.startsWith(prefix)) && end > prefix;
    return new Set(areas.filter(({ prefix }) => ranges.some((range) => meets(range, prefix))).map(({ name }) => name));
  }

  #judgeWatch(watch: RecordedWatch): void {
    const { messages, startRevision } = watch;
    const created = messages.find(({ type }) => type === 'created');
    const from = startRevision > 0n ? startRevision : created?.type === 'created' ? created.revision + 1n : this.history.base + 1n;
    const due = this.#truth
      .slice(firstAt(this.#truth, from))
      .filter(({ change }) => covers(watch, change.kv.key) && !(change.isDelete ? watch.noDelete : watch.noPut));
    const judged = { watch, from, due, tellings: this.#tellings, hasFaults: this.history.hasFaults };
    for (const { rule, text, revision } of judgeWatch(judged)) this.#complain(rule, `${watch.name}: ${text}`, revision);
  }
}

const NOTHING: ReadonlyMap<string, Kv | null> = new Map();
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;

function firstAt(truth: readonly { readonly revision: Revision }[], revision: Revision): number {
  let low = 0;
  let high = truth.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((truth[middle] as { readonly revision: Revision }).revision < revision) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isWrite(type: string): boolean {
  return type === 'put' || type === 'delete' || type === 'txn';
}

/** How much a request may explain: the narrowest is tried first. */
function breadth({ request }: RecordedCall): number {
  return request.type === 'delete' && request.end !== '' ? 1 : 0;
}

function hasWritten(operation: Operation, result: OperationResult): boolean {
  switch (result.type) {
    case 'put':
      return true;
    case 'delete':
      return result.deleted > 0;
    case 'txn': {
      if (operation.type !== 'txn') return false;
      const branch = result.succeeded ? operation.success : operation.failure;
      return result.results.some((each, i) => hasWritten(branch[i] as Operation, each));
    }
    default:
      return false;
  }
}

/** Keys that an answer has shown alive, with their values or without. */
function shownKvs(result: { readonly type: string }): readonly Kv[] {
  const told = result as OperationResult;
  switch (told.type) {
    case 'range':
      return told.kvs;
    case 'put':
      return told.prev === null ? [] : [told.prev];
    case 'delete':
      return told.prevs;
    case 'txn':
      return told.results.flatMap(shownKvs);
    default:
      return [];
  }
}

/** A list of keys alone shows no values. */
function areOtherValues(one: string, other: string): boolean {
  return one !== '' && other !== '' && one !== other;
}

function isSame(kv: Kv | null, change: Change): boolean {
  if (kv === null || change.isDelete) return kv === null && change.isDelete;
  return !areOtherValues(kv.value, change.kv.value);
}

/** What is not as it has to be: null, when all is. */
function differenceOf(told: OperationResult, due: OperationResult): 'compare' | 'count' | 'result' | null {
  if (told.type === 'txn' && due.type === 'txn') {
    if (told.succeeded !== due.succeeded) return 'compare';
    if (told.results.length !== due.results.length) return 'result';
    for (const [i, each] of told.results.entries()) {
      const wrong = differenceOf(each, due.results[i] as OperationResult);
      if (wrong !== null) return wrong;
    }
    return null;
  }
  if (told.type === 'range' && due.type === 'range') {
    if (!areSameKvs(told.kvs, due.kvs)) return 'result';
    return told.count === due.count && told.more === due.more ? null : 'count';
  }
  if (told.type === 'put' && due.type === 'put') return isSameKv(told.prev, due.prev) ? null : 'result';
  if (told.type === 'delete' && due.type === 'delete')
    return told.deleted === due.deleted && areSameKvs(told.prevs, due.prevs) ? null : 'result';
  return 'result';
}

function areSameKvs(told: readonly Kv[], due: readonly Kv[]): boolean {
  return told.length === due.length && told.every((kv, i) => isSameKv(kv, due[i] ?? null));
}

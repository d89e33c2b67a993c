import type { Revision } from '@harikube/keyspace';
import { HistoryChecker, type WatchedEvent } from '@harikube/testing';
import type { RecordedRead, RecordedWrite, WorkloadRecord } from './workload-record.js';

/** One round of a workload against what the databases say in the end. */
export interface JudgedRound {
  readonly record: WorkloadRecord;
  /** Every change of the round, from the log, in order. The round began with no keys. */
  readonly truth: readonly WatchedEvent[];
  /** The revision at which the round began. */
  readonly base: Revision;
}

/** Sentences about everything that must not be: empty when all is well. */
export function judge({ record, truth, base }: JudgedRound): string[] {
  const findings = [...record.findings];
  const history = new KeyHistories(truth);
  findings.push(...judgeOrigins(record.writes, truth));
  for (const write of record.writes) {
    const finding = judgeWrite(write, history);
    if (finding !== null) findings.push(`${write.what}: ${finding}`);
  }
  for (const read of record.reads) {
    const finding = judgeRead(read, history);
    if (finding !== null) findings.push(`${read.what} (${read.areas.join(', ')}) at ${read.revision}: ${finding}`);
  }
  const checker = new HistoryChecker(truth);
  checker.checkWrites(
    record.writes.flatMap(({ outcome, key, value, startedAt, endedAt }) =>
      outcome.type === 'done' ? [{ revision: outcome.revision, key, value, startedAt, endedAt }] : [],
    ),
  );
  for (const { name, prefix, prevKv, messages } of record.watches) {
    checker.checkWatch({ name, covers: (key) => key.startsWith(prefix), from: base + 1n, prevKv, messages }, true);
  }
  return [...findings, ...checker.problems];
}

/** Each change was asked for, and took place once: acknowledged, or of an unknown outcome. */
function judgeOrigins(writes: readonly RecordedWrite[], truth: readonly WatchedEvent[]): string[] {
  const findings: string[] = [];
  const byValue = new Map<string, RecordedWrite>();
  const deletions = new Map<string, RecordedWrite[]>();
  for (const write of writes) {
    if (write.value !== null) byValue.set(write.value, write);
    else deletions.set(write.key, [...(deletions.get(write.key) ?? []), write]);
  }
  const done = new Set<RecordedWrite>();
  const before = new Map<string, Revision>();
  for (const event of truth) {
    const shown = `the ${event.isDelete ? 'deletion' : 'put'} of ${event.key} at ${event.revision}`;
    const replaced = before.get(event.key) ?? 0n;
    const candidates = event.isDelete
      ? (deletions.get(event.key) ?? []).filter((write) => write.expected === replaced && !done.has(write))
      : [byValue.get(event.value)].filter((write) => write !== undefined);
    const origin =
      candidates.find(({ outcome }) => outcome.type === 'done' && outcome.revision === event.revision) ??
      candidates.find(({ outcome }) => outcome.type === 'unknown');
    if (origin === undefined) {
      const told = candidates.map(({ outcome, what }) => `${what}: ${outcome.type}`).join('; ');
      findings.push(`${shown} was acknowledged to nobody, nor is it of an unknown outcome${told === '' ? '' : ` (${told})`}`);
    } else {
      if (done.has(origin)) findings.push(`${shown} took place twice`);
      done.add(origin);
      if (event.revision <= origin.floor)
        findings.push(`${shown} has a revision not above ${origin.floor}, which was seen before it was sent`);
      if (origin.expected !== null && origin.expected !== replaced) {
        findings.push(`${shown} replaced revision ${replaced}, but its guard demanded ${origin.expected}`);
      }
    }
    before.set(event.key, event.isDelete ? 0n : event.revision);
  }
  return findings;
}

function judgeWrite({ key, expected, floor, outcome }: RecordedWrite, history: KeyHistories): string | null {
  switch (outcome.type) {
    case 'failed':
    case 'unknown':
      return null;
    case 'done':
      return outcome.revision > floor ? null : `got revision ${outcome.revision}, but ${floor} was seen before it was sent`;
    case 'refused':
      if (outcome.revision < floor) return `was refused at ${outcome.revision}, but ${floor} was seen before it was sent`;
      return (history.at(key, outcome.revision)?.revision ?? 0n) === expected
        ? `was refused at ${outcome.revision}, although its guard ${expected} holds there`
        : null;
  }
}

function judgeRead(read: RecordedRead, history: KeyHistories): string | null {
  if (read.revision < read.floor) return `its header is below ${read.floor}, which was seen before it was sent`;
  const revision = read.at === 0n ? read.revision : read.at;
  const keys = read.isSingle ? [read.prefix] : history.keys.filter((key) => key.startsWith(read.prefix) && key >= read.from);
  const due = keys.flatMap((key) => history.at(key, revision) ?? []);
  const shown = read.limit === 0 ? due : due.slice(0, read.limit);
  const told = read.kvs.map(({ key, value, modRevision }) => `${key}=${brief(value)}@${modRevision}`).join(' ');
  const wanted = shown.map((event) => `${event.key}=${brief(event.value)}@${event.revision}`).join(' ');
  if (told !== wanted) return `shows ${told || 'nothing'} instead of ${wanted || 'nothing'}`;
  if (read.count !== due.length) return `counts ${read.count} instead of ${due.length}`;
  return read.more === due.length > shown.length ? null : `says that there ${read.more ? 'are more' : 'are no more'}`;
}

/** What a value begins with: enough to know it by. */
function brief(value: string): string {
  return value.slice(0, 24);
}

/** The state of each key at every revision. */
class KeyHistories {
  readonly #events = new Map<string, WatchedEvent[]>();
  /** Bytewise: all keys are ASCII. */
  readonly keys: readonly string[];

  constructor(truth: readonly WatchedEvent[]) {
    for (const event of truth) {
      const events = this.#events.get(event.key);
      if (events === undefined) this.#events.set(event.key, [event]);
      else events.push(event);
    }
    this.keys = [...this.#events.keys()].sort();
  }

  /** The put that lives at this revision; null when there is none. */
  at(key: string, revision: Revision): WatchedEvent | null {
    const event = this.#events.get(key)?.findLast((each) => each.revision <= revision);
    return event === undefined || event.isDelete ? null : event;
  }
}

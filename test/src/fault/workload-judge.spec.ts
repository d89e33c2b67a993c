import { describe, expect, it } from '@jest/globals';
import type { WatchedEvent, WatchedMessage } from '@harikube/testing';
import { judge } from './workload-judge.js';
import { type RecordedRead, type RecordedWrite, type WorkloadRecord, WorkloadRecord as Record } from './workload-record.js';

const KEY = '/a/k';
const OTHER = '/a/other';

/** KEY is created at 11 and replaced at 12, OTHER is created at 13, KEY is deleted at 14. */
const TRUTH: readonly WatchedEvent[] = [
  put(KEY, 11n, { value: 'one', createRevision: 11n, version: 1n }),
  put(KEY, 12n, { value: 'two', createRevision: 11n, version: 2n }),
  put(OTHER, 13n, { value: 'three', createRevision: 13n, version: 1n }),
  { revision: 14n, key: KEY, isDelete: true, value: '', createRevision: 0n, version: 0n, prev: null },
];

function put(key: string, revision: bigint, rest: Pick<WatchedEvent, 'value' | 'createRevision' | 'version'>): WatchedEvent {
  return { revision, key, isDelete: false, prev: null, ...rest };
}

function write(given: Partial<RecordedWrite>): RecordedWrite {
  const at = given.outcome !== undefined && 'revision' in given.outcome ? Number(given.outcome.revision) : 0;
  return {
    areas: ['a'],
    what: 'a write',
    key: KEY,
    value: null,
    expected: null,
    floor: 10n,
    startedAt: at,
    endedAt: at + 0.5,
    outcome: { type: 'unknown' },
    ...given,
  };
}

const WRITES = {
  one: write({ value: 'one', expected: 0n, outcome: { type: 'done', revision: 11n } }),
  two: write({ value: 'two', expected: 11n, outcome: { type: 'done', revision: 12n }, floor: 11n }),
  three: write({ key: OTHER, value: 'three', outcome: { type: 'done', revision: 13n } }),
  deletion: write({ value: null, expected: 12n, outcome: { type: 'done', revision: 14n } }),
};

function read(given: Partial<RecordedRead>): RecordedRead {
  return {
    areas: ['a'],
    what: 'a read',
    prefix: '/a/',
    from: '/a/',
    isSingle: false,
    limit: 0,
    at: 0n,
    floor: 10n,
    startedAt: 0,
    endedAt: 1,
    revision: 13n,
    kvs: [
      { key: KEY, value: 'two', modRevision: 12n },
      { key: OTHER, value: 'three', modRevision: 13n },
    ],
    count: 2,
    more: false,
    ...given,
  };
}

interface Told {
  readonly writes?: readonly RecordedWrite[];
  readonly reads?: readonly RecordedRead[];
  readonly messages?: readonly WatchedMessage[];
}

function verdictOn({ writes = Object.values(WRITES), reads = [], messages }: Told, truth = TRUTH): string[] {
  const record: WorkloadRecord = new Record(10n);
  record.writes.push(...writes);
  record.reads.push(...reads);
  if (messages !== undefined) record.watches.push({ name: 'the watch', prefix: '/a/', prevKv: false, messages: [...messages] });
  return judge({ record, truth, base: 10n });
}

function told(events: readonly WatchedEvent[]): WatchedMessage[] {
  return events.map((event) => ({ type: 'events', revision: event.revision, events: [event] }));
}

describe('the judge of a workload', () => {
  it('has nothing to say about what went well', () => {
    const reads = [read({}), read({ revision: 14n, at: 12n, kvs: [{ key: KEY, value: 'two', modRevision: 12n }], count: 1 })];
    expect(verdictOn({ reads, messages: told(TRUTH) })).toEqual([]);
  });

  it('allows an unknown write to be there or not', () => {
    const there = Object.values({ ...WRITES, three: { ...WRITES.three, outcome: { type: 'unknown' as const } } });
    expect(verdictOn({ writes: [...there, write({ value: 'never', outcome: { type: 'unknown' } })] })).toEqual([]);
  });

  const lost = write({ key: OTHER, value: 'lost', outcome: { type: 'done', revision: 20n } });
  const refusedForNothing = write({ value: 'x', expected: 12n, outcome: { type: 'refused', revision: 13n }, floor: 12n });
  it.each<[string, Told, RegExp]>([
    ['an acknowledged write that is not there', { writes: [...Object.values(WRITES), lost] }, /lacks the acknowledged revision 20/],
    [
      'a write that is there although it failed',
      { writes: Object.values({ ...WRITES, three: { ...WRITES.three, outcome: { type: 'failed' } } }) },
      /the put of \/a\/other at 13 was acknowledged to nobody.*failed/,
    ],
    [
      'a write that is there under another revision',
      { writes: Object.values({ ...WRITES, three: { ...WRITES.three, outcome: { type: 'done', revision: 12n } } }) },
      /at 13 was acknowledged to nobody/,
    ],
    [
      'a deletion that nobody asked for',
      { writes: [WRITES.one, WRITES.two, WRITES.three] },
      /the deletion of \/a\/k at 14 was acknowledged to nobody/,
    ],
    [
      'a guard that did not hold',
      { writes: Object.values({ ...WRITES, two: { ...WRITES.two, expected: 10n } }) },
      /replaced revision 11, but its guard demanded 10/,
    ],
    ['a refusal although the guard holds', { writes: [...Object.values(WRITES), refusedForNothing] }, /although its guard 12 holds there/],
    [
      'a revision that was seen before',
      { writes: Object.values({ ...WRITES, three: { ...WRITES.three, floor: 13n } }) },
      /got revision 13, but 13 was seen before/,
    ],
    [
      'an unknown write below what was seen before it',
      { writes: Object.values({ ...WRITES, three: { ...WRITES.three, floor: 13n, outcome: { type: 'unknown' } } }) },
      /has a revision not above 13/,
    ],
    ['a read below what was seen', { reads: [read({ floor: 14n })] }, /its header is below 14/],
    [
      'a read that lacks a key',
      { reads: [read({ kvs: [{ key: KEY, value: 'two', modRevision: 12n }] })] },
      /shows \/a\/k=two@12 instead of/,
    ],
    ['a read that shows what was deleted', { reads: [read({ revision: 14n })] }, /instead of \/a\/other=three@13/],
    ['a wrong count', { reads: [read({ count: 3 })] }, /counts 3 instead of 2/],
    [
      'a page that hides that there is more',
      { reads: [read({ limit: 1, kvs: [{ key: KEY, value: 'two', modRevision: 12n }] })] },
      /no more/,
    ],
    ['a watch with a gap', { messages: told(TRUTH.filter(({ revision }) => revision !== 12n)) }, /where the put of "\/a\/k" at 12 was due/],
    ['a watch that ends early', { messages: told(TRUTH.slice(0, 2)) }, /lacks 2 events/],
  ])('finds %s', (_name, story, sentence) => {
    expect(verdictOn(story).join('\n')).toMatch(sentence);
  });

  it('finds a write that took place twice', () => {
    const twice = [...TRUTH, put(OTHER, 15n, { value: 'three', createRevision: 13n, version: 2n })];
    const writes = Object.values({ ...WRITES, three: { ...WRITES.three, outcome: { type: 'unknown' as const } } });
    expect(verdictOn({ writes }, twice).join('\n')).toMatch(/the put of \/a\/other at 15 took place twice/);
  });
});

import { describe, expect, it } from '@jest/globals';
import type {
  Change,
  History,
  Kv,
  Operation,
  OperationResult,
  Outcome,
  RecordedCall,
  RecordedWatch,
  Request,
  WatchMessage,
} from './history.js';
import type { Rule } from './finding.js';
import { judge } from './judge.js';

const A = '/r/a/';
const B = '/r/b/';
const AREAS = [
  { name: 'a', prefix: A },
  { name: 'b', prefix: B },
];

let clock = 0;

/** A call that is over before the next one begins, unless times are given. */
function call(request: Request, outcome: Outcome, times?: readonly [number, number]): RecordedCall {
  const [startedAt, endedAt] = times ?? [++clock, ++clock];
  return { client: 1, request, startedAt, endedAt, outcome };
}

function done(request: Request, revision: bigint, result: OperationResult, times?: readonly [number, number]): RecordedCall {
  return call(request, { type: 'done', revision, result }, times);
}

function kv(key: string, value: string, modRevision: bigint, more: Partial<Kv> = {}): Kv {
  return { key, value, createRevision: modRevision, modRevision, version: 1n, lease: 0n, ...more };
}

function put(key: string, value: string, lease = 0n): Operation {
  return { type: 'put', key, value, lease, prevKv: false };
}

function wrote(key: string, value: string, revision: bigint, times?: readonly [number, number]): RecordedCall {
  return done(put(key, value), revision, { type: 'put', prev: null }, times);
}

function remove(key: string, end = ''): Operation {
  return { type: 'delete', key, end, prevKv: false };
}

function range(
  key: string,
  end: string,
  more: { readonly limit?: number; readonly revision?: bigint } = {},
): Operation & { readonly type: 'range' } {
  return { type: 'range', key, end, revision: 0n, limit: 0, keysOnly: false, countOnly: false, ...more };
}

function shown(kvs: readonly Kv[], count = kvs.length): OperationResult {
  return { type: 'range', kvs, count, more: count > kvs.length };
}

function watch(messages: readonly WatchMessage[], more: Partial<RecordedWatch> = {}): RecordedWatch {
  return {
    name: 'the watch',
    key: '/r/',
    end: '/r0',
    startRevision: 2n,
    prevKv: true,
    noPut: false,
    noDelete: false,
    startedAt: 0,
    messages: [{ type: 'created', at: 0.5, revision: 1n }, ...messages],
    dueThrough: null,
    ...more,
  };
}

function events(revision: bigint, changes: readonly Change[], at = 1000, isFragment = false): WatchMessage {
  return { type: 'events', at, revision, isFragment, changes };
}

function putEvent(key: string, value: string, revision: bigint, prev: Kv | null = null): Change {
  const after = prev === null ? kv(key, value, revision) : { ...prev, value, modRevision: revision, version: prev.version + 1n };
  return { isDelete: false, kv: after, prev };
}

function deleteEvent(key: string, revision: bigint, prev: Kv | null): Change {
  return { isDelete: true, kv: { key, value: '', createRevision: 0n, modRevision: revision, version: 0n, lease: 0n }, prev };
}

function progress(revision: bigint, at = 1001): WatchMessage {
  return { type: 'progress', at, revision };
}

function historyOf(calls: readonly RecordedCall[], watches: readonly RecordedWatch[], hasFaults: boolean): History {
  return { seed: 1, areas: AREAS, common: '/r/', hasFaults, base: 1n, initial: [], calls, watches, untoldEnd: null };
}

function rulesOf(calls: readonly RecordedCall[], watches: readonly RecordedWatch[] = [], hasFaults = false): Rule[] {
  return [...new Set(judge(historyOf(calls, watches, hasFaults)).findings.map(({ rule }) => rule))];
}

const KEY = `${A}k`;
const OTHER = `${B}k`;
/** Two puts of one key, and one of another. */
function threeWrites(): RecordedCall[] {
  return [wrote(KEY, 'one', 2n), wrote(OTHER, 'two', 3n), wrote(KEY, 'three', 4n)];
}
const FIRST = kv(KEY, 'one', 2n);
const SECOND = kv(OTHER, 'two', 3n);
const THIRD = kv(KEY, 'three', 4n, { createRevision: 2n, version: 2n });
const ALL_EVENTS = [putEvent(KEY, 'one', 2n), putEvent(OTHER, 'two', 3n), putEvent(KEY, 'three', 4n, FIRST)];

describe('a router that does not tell its state in the end', () => {
  it('is a finding, though something was made to fail before', () => {
    const history = { ...historyOf([], [], true), untoldEnd: 'etcdserver: request timed out' };
    expect(judge(history).findings).toEqual([{ rule: 'refusal', text: expect.stringContaining('request timed out'), revision: null }]);
  });
});

describe('a history that one keyspace can have told', () => {
  it('is without findings, with reads at latest and at old revisions, failed and taken compares, deletions and watches', () => {
    const fails = { type: 'txn', compares: [mod(KEY, 2n)], success: [put(KEY, 'never')], failure: [range(KEY, '')] } as const;
    const takes = { type: 'txn', compares: [mod(KEY, 4n)], success: [remove(KEY), range('/r/', '/r0')], failure: [] } as const;
    const calls = [
      ...threeWrites(),
      done(range('/r/', '/r0'), 4n, shown([THIRD, SECOND])),
      done(range('/r/', '/r0', { revision: 3n, limit: 1 }), 4n, shown([FIRST], 2)),
      done(fails, 4n, { type: 'txn', succeeded: false, results: [shown([THIRD])] }),
      done(takes, 5n, { type: 'txn', succeeded: true, results: [{ type: 'delete', deleted: 1, prevs: [] }, shown([SECOND])] }),
      done(remove(KEY), 5n, { type: 'delete', deleted: 0, prevs: [] }),
    ];
    const whole = watch([events(4n, ALL_EVENTS), events(5n, [deleteEvent(KEY, 5n, THIRD)]), progress(5n)], { dueThrough: 5n });
    const filtered = watch([events(5n, [deleteEvent(KEY, 5n, null)])], { noPut: true, prevKv: false, startRevision: 4n });
    expect(rulesOf(calls, [whole, filtered])).toEqual([]);
  });

  it('may have burned revisions, and answers of unknown outcome that took place or did not', () => {
    const calls = [
      wrote(KEY, 'one', 2n),
      call(put(OTHER, 'lost'), { type: 'unknown', text: '' }),
      call(put(OTHER, 'seen'), { type: 'unknown', text: '' }),
      wrote(KEY, 'three', 400n),
      done(range('/r/', '/r0'), 400n, shown([{ ...THIRD, modRevision: 400n }, kv(OTHER, 'seen', 7n)])),
    ];
    expect(rulesOf(calls, [], true)).toEqual([]);
  });

  it('may lose the keys of an expired lease, those of each database at one revision', () => {
    const calls = [
      call({ type: 'grant', lease: 9n, ttl: 2n }, { type: 'done', revision: 1n, result: { type: 'grant', ttl: 2n } }, [0, 1]),
      done(put(KEY, 'one', 9n), 2n, { type: 'put', prev: null }, [2, 3]),
      done(put(OTHER, 'two', 9n), 3n, { type: 'put', prev: null }, [4, 5]),
    ];
    const leased = [kv(KEY, 'one', 2n, { lease: 9n }), kv(OTHER, 'two', 3n, { lease: 9n })] as const;
    const told = events(5n, [deleteEvent(KEY, 4n, leased[0]), deleteEvent(OTHER, 5n, leased[1])], 2500);
    expect(rulesOf(calls, [watch([told], { startRevision: 4n })])).toEqual([]);
  });
});

describe('what one keyspace cannot have told', () => {
  const cases: readonly (readonly [Rule | readonly Rule[], string, () => [RecordedCall[], RecordedWatch[]?]])[] = [
    ['stale header', 'a read below what was told before', () => [[...threeWrites(), done(range(KEY, ''), 3n, shown([FIRST]))]]],
    ['revision not above', 'a write below what was told before', () => [[wrote(KEY, 'one', 3n), wrote(OTHER, 'two', 2n)]]],
    ['reused revision', 'two writes of one revision', () => [[wrote(KEY, 'one', 2n, [1, 4]), wrote(OTHER, 'two', 2n, [2, 3])]]],
    ['unexplained change', 'a value that nobody wrote', () => [[done(range(KEY, ''), 2n, shown([kv(KEY, 'phantom', 2n)]))]]],
    [
      ['contradiction', 'watch event'],
      'two values of one key at one revision',
      () => [
        [wrote(KEY, 'one', 2n)],
        [watch([events(2n, [putEvent(KEY, 'one', 2n)])]), watch([events(2n, [putEvent(KEY, 'another', 2n)])])],
      ],
    ],
    ['read', 'a list that lacks a key', () => [[...threeWrites(), done(range('/r/', '/r0'), 4n, shown([THIRD]))]]],
    ['read', 'a list with a wrong version', () => [[...threeWrites(), done(range(KEY, ''), 4n, shown([{ ...THIRD, version: 1n }]))]]],
    [
      'read',
      'an old revision with what came later',
      () => [[...threeWrites(), done(range(KEY, '', { revision: 3n }), 4n, shown([THIRD]))]],
    ],
    [
      'count',
      'a count of the page instead of the range',
      () => [[...threeWrites(), done(range('/r/', '/r0', { limit: 1 }), 4n, shown([THIRD]))]],
    ],
    [
      'compare',
      'a txn that was to fail and wrote',
      () => [
        [
          wrote(KEY, 'one', 2n),
          done({ type: 'txn', compares: [mod(KEY, 1n)], success: [put(KEY, 'two')], failure: [] }, 3n, {
            type: 'txn',
            succeeded: true,
            results: [{ type: 'put', prev: null }],
          }),
        ],
      ],
    ],
    [
      'write result',
      'a deletion of more keys than there are',
      () => [[...threeWrites(), done(remove(A, `${A}~`), 5n, { type: 'delete', deleted: 2, prevs: [] })]],
    ],
    [
      'refusal',
      'a read that is refused',
      () => [[call(range(KEY, ''), { type: 'refused', code: 13, text: 'etcdserver: internal error' })]],
    ],
    [
      'refusal',
      'a router that is away although nothing was made to fail',
      () => [[call(range(KEY, ''), { type: 'refused', code: 14, text: '' })]],
    ],
    [
      'refusal',
      'a txn of one database refused as one of several',
      () => [
        [
          call(
            { type: 'txn', compares: [], success: [put(KEY, 'x')], failure: [] },
            { type: 'refused', code: 12, text: 'over the backends' },
          ),
        ],
      ],
    ],
    [
      'compaction',
      'a compacted revision that is answered',
      () => [[...threeWrites(), compact(4n), done(range(KEY, '', { revision: 3n }), 4n, shown([FIRST]))]],
    ],
    [
      'compaction',
      'the revision of the compaction, refused',
      () => [[...threeWrites(), compact(4n), call(range(KEY, '', { revision: 4n }), { type: 'refused', code: 11, text: COMPACTED })]],
    ],
    [
      'lease',
      'a lease that was revoked and is put in a transaction',
      () => [
        [
          call({ type: 'grant', lease: 9n, ttl: 2n }, { type: 'done', revision: 1n, result: { type: 'grant', ttl: 2n } }),
          call({ type: 'revoke', lease: 9n }, { type: 'done', revision: 1n, result: { type: 'revoke' } }),
          done({ type: 'txn', compares: [], success: [put(KEY, 'one', 9n)], failure: [] }, 2n, {
            type: 'txn',
            succeeded: true,
            results: [{ type: 'put', prev: null }],
          }),
        ],
      ],
    ],
    [
      'lease',
      'a lease that was revoked and is kept alive',
      () => [
        [
          call({ type: 'grant', lease: 9n, ttl: 2n }, { type: 'done', revision: 1n, result: { type: 'grant', ttl: 2n } }),
          call({ type: 'revoke', lease: 9n }, { type: 'done', revision: 1n, result: { type: 'revoke' } }),
          call({ type: 'keep-alive', lease: 9n }, { type: 'done', revision: 1n, result: { type: 'keep-alive', ttl: 2n } }),
        ],
      ],
    ],
    [
      'unexplained change',
      'a lease that ends too early',
      () => leaseStory(1500, [deleteEvent(KEY, 4n, LEASED_ONE), deleteEvent(SAME, 4n, LEASED_TWO)]),
    ],
    ['watch progress', 'a lease whose keys go one by one', () => leaseStory(2500, [deleteEvent(KEY, 4n, LEASED_ONE)])],
    ['watch filter', 'a change of before its start', () => [threeWrites(), [watch([events(4n, ALL_EVENTS)], { startRevision: 3n })]]],
    [
      ['watch complete', 'watch order'],
      'a change after a later one',
      () => [threeWrites(), [watch([events(4n, ALL_EVENTS.toReversed())])]],
    ],
    ['watch unique', 'a change twice', () => [threeWrites(), [watch([events(4n, [...ALL_EVENTS, ...ALL_EVENTS.slice(2)])])]]],
    [
      'watch complete',
      'a change left out',
      () => [threeWrites(), [watch([events(4n, [...ALL_EVENTS.slice(0, 1), ...ALL_EVENTS.slice(2)])])]],
    ],
    [
      'watch complete',
      'a change that never came',
      () => [threeWrites(), [watch([events(3n, ALL_EVENTS.slice(0, 2))], { dueThrough: 4n })]],
    ],
    ['watch progress', 'progress before a change', () => [threeWrites(), [watch([progress(4n, 999), events(4n, ALL_EVENTS)])]]],
    ['watch progress', 'progress that goes back', () => [threeWrites(), [watch([events(4n, ALL_EVENTS), progress(5n), progress(4n)])]]],
    ['watch header', 'a change above its header', () => [threeWrites(), [watch([events(3n, ALL_EVENTS)])]]],
    [
      'watch event',
      'a change with a wrong version',
      () => [[wrote(KEY, 'one', 2n)], [watch([events(2n, [{ isDelete: false, kv: { ...FIRST, version: 2n }, prev: null }])])]],
    ],
    [
      'watch prev_kv',
      'a previous value of another revision',
      () => [threeWrites(), [watch([events(4n, [...ALL_EVENTS.slice(0, 2), { ...putEvent(KEY, 'three', 4n, FIRST), prev: SECOND }])])]],
    ],
    ['watch end', 'a stream that ends by itself', () => [[], [watch([{ type: 'broken', at: 5, code: 14, text: '' }])]]],
    [
      'watch end',
      'a watch that is not told that it has everything',
      () => [threeWrites(), [watch([events(4n, ALL_EVENTS)], { dueThrough: 6n })]],
    ],
    [
      'compaction',
      'a watch that is ended by a compaction it has passed',
      () => [
        [...threeWrites(), compact(3n)],
        [watch([events(4n, ALL_EVENTS), { type: 'canceled', at: 2000, compactRevision: 3n, reason: '' }])],
      ],
    ],
    ['watch atomic', 'a revision in two messages', splitRevision],
  ];

  it.each(cases)('breaks the rule %j: %s', (rule, _what, story) => {
    const [calls, watches] = story();
    expect(rulesOf(calls, watches)).toEqual([rule].flat());
  });

  it('is not told of a revision in fragments of one message', () => {
    const [calls, watches] = splitRevision();
    const [whole] = watches;
    const messages = whole?.messages.map((message) => (message.type === 'events' ? { ...message, isFragment: true } : message)) ?? [];
    expect(rulesOf(calls, [{ ...(whole as RecordedWatch), messages }])).toEqual([]);
  });
});

const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';
const SAME = `${A}l`;
const LEASED_ONE = kv(KEY, 'one', 2n, { lease: 9n });
const LEASED_TWO = kv(SAME, 'two', 3n, { lease: 9n });

function mod(key: string, revision: bigint) {
  return { key, end: '', target: 'mod', result: 'equal', number: revision, value: '' } as const;
}

function compact(revision: bigint): RecordedCall {
  return call({ type: 'compact', revision }, { type: 'done', revision: 4n, result: { type: 'compact' } });
}

/** Two keys of one database under a lease of two seconds, and what is seen of its end. */
function leaseStory(seenAt: number, told: readonly Change[]): [RecordedCall[], RecordedWatch[]] {
  const calls = [
    call({ type: 'grant', lease: 9n, ttl: 2n }, { type: 'done', revision: 1n, result: { type: 'grant', ttl: 2n } }, [0, 1]),
    done(put(KEY, 'one', 9n), 2n, { type: 'put', prev: null }, [2, 3]),
    done(put(SAME, 'two', 9n), 3n, { type: 'put', prev: null }, [4, 5]),
  ];
  return [calls, [watch([events(4n, told, seenAt), progress(4n, seenAt + 1)], { startRevision: 4n, dueThrough: 4n })]];
}

function splitRevision(): [RecordedCall[], RecordedWatch[]] {
  const both: Operation = { type: 'txn', compares: [], success: [put(KEY, 'one'), put(SAME, 'two')], failure: [] };
  const result: OperationResult = {
    type: 'txn',
    succeeded: true,
    results: [
      { type: 'put', prev: null },
      { type: 'put', prev: null },
    ],
  };
  return [[done(both, 2n, result)], [watch([events(2n, [putEvent(KEY, 'one', 2n)]), events(2n, [putEvent(SAME, 'two', 2n)])])]];
}

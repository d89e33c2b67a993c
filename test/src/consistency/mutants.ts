import type { Mutation } from './mutation.js';
import { UsageError } from './options.js';

/** A defect of the engine, to prove that the judge would find it. */
export interface Mutant {
  readonly name: string;
  readonly mutations: readonly Mutation[];
  /** It shows when a router is killed. */
  readonly isOfCrashes: boolean;
}

const RANGE_READER = 'libs/keyspace/dist/range-reader.js';
const LEASE_KEYS = 'libs/keyspace/dist/lease-keys.js';
const WATCH_HUB = 'libs/keyspace/dist/watch-hub.js';
const COMMITTER = 'libs/keyspace/dist/group-committer.js';
const COMMIT_QUEUE = 'libs/keyspace/dist/commit-queue.js';
const WORKING_HEADS = 'libs/keyspace/dist/working-heads.js';
const TXN_JUDGE = 'libs/keyspace/dist/txn-judge.js';
const CLOCK = 'libs/keyspace/dist/clock.js';
const SQLITE_FILE = 'libs/datasources/dist/dialects/sqlite/file-connection.js';

function mutant(name: string, module: string, find: string, replace: string, isOfCrashes = false): Mutant {
  return { name, mutations: [{ module, find, replace }], isOfCrashes };
}

export const MUTANTS: readonly Mutant[] = [
  mutant(
    'header-ahead',
    RANGE_READER,
    'return { ...merged, revision: request.revision > 0n ? clock.observed : revision };',
    'return { ...merged, revision: clock.current };',
  ),
  mutant('list-does-not-wait', RANGE_READER, 'const wait = waits.whenWhole(present, arrival);', 'const wait = undefined;'),
  mutant(
    'list-lacks-backend',
    RANGE_READER,
    'slots.map((slot) => askRange(slot, query))',
    'slots.slice(arrival % 20n === 0n && slots.length > 1 ? 1 : 0).map((slot) => askRange(slot, query))',
  ),
  mutant('count-of-pages', RANGE_READER, 'count - answer.records', 'count'),
  mutant(
    'compaction-off-by-one',
    RANGE_READER,
    'revision > 0n && revision < compaction.revision',
    'revision > 0n && revision <= compaction.revision',
  ),
  mutant('lease-split', LEASE_KEYS, 'const LEASE_KEYS_PER_TXN = 1000;', 'const LEASE_KEYS_PER_TXN = 1;'),
  mutant('reused-revision', CLOCK, 'this.#current += BigInt(count);', 'if (Math.random() > 0.05) this.#current += BigInt(count);'),
  mutant('told-revision-forgotten', CLOCK, 'if (revision > this.#observed)', 'if (revision > this.#observed && revision % 40n !== 0n)'),
  mutant('answer-before-commit', COMMITTER, 'await committed;', 'committed.catch(() => undefined);', true),
  mutant('commit-behind-overlaps', COMMIT_QUEUE, 'txn.keys.some((text) => barred.has(text))', 'false'),
  mutant(
    'stale-cache',
    WORKING_HEADS,
    'this.options.cache.set(text, head);',
    'if (head === null || (head.id >> 20n) % 30n !== 0n) this.options.cache.set(text, head);',
  ),
  mutant(
    'compare-before-batch',
    TXN_JUDGE,
    'if (written === undefined)',
    'if (written === undefined || (this.#position === 0 && this.rows.length % 3 === 2))',
  ),
  mutant(
    'prev-kv-before-batch',
    TXN_JUDGE,
    'prevRecord: replaced === null ? null : replaced.record,',
    'prevRecord: replaced === null ? null : (this.settled.head(text) ?? replaced).record,',
  ),
  mutant(
    'progress-ahead',
    WATCH_HUB,
    "this.send({ type: 'progress', watchId, revision });",
    "this.send({ type: 'progress', watchId, revision: this.hub.options.clock.current });",
  ),
  mutant('event-dropped', WATCH_HUB, 'this.#outgoing.push(framed);', 'if (event.revision % 60n !== 0n) this.#outgoing.push(framed);'),
  mutant(
    'event-doubled',
    WATCH_HUB,
    'this.#outgoing.push(framed);',
    'this.#outgoing.push(framed); if (event.revision % 60n === 0n) this.#outgoing.push(framed);',
  ),
  mutant(
    'event-split',
    WATCH_HUB,
    'this.#outgoing.push(framed);',
    'this.#outgoing.push(framed); if (event.revision % 3n === 0n) this.flush();',
  ),
  mutant('watch-does-not-wait', WATCH_HUB, 'this.#held[count].revision <= horizon', 'this.#held[count] !== undefined'),
  mutant('watch-starts-late', WATCH_HUB, 'this.#cursor = this.#from - 1n;', 'this.#cursor = this.#from;'),
  mutant(
    'write-lost-by-crash',
    SQLITE_FILE,
    'connection.run(sql.CLAIM, claim.storeId, claim.epoch);',
    "connection.run(sql.CLAIM, claim.storeId, claim.epoch); connection.run('DELETE FROM head WHERE id = (SELECT max(id) FROM head)');",
    true,
  ),
];

/**
 * Nothing that these change may show: caches and messages so small that every seam between memory and database is crossed all the time.
 */
export const TIGHT: Mutant = {
  name: 'tight',
  isOfCrashes: false,
  mutations: [
    { module: WATCH_HUB, find: 'const MESSAGE_BYTES = 1024 * 1024;', replace: 'const MESSAGE_BYTES = 512;' },
    { module: WATCH_HUB, find: 'const MAX_HELD = 10_000;', replace: 'const MAX_HELD = 3;' },
    { module: 'libs/keyspace/dist/event-ring.js', find: 'while (this.#bytes > this.maxBytes &&', replace: 'while (this.#bytes > 4096 &&' },
    {
      module: 'libs/keyspace/dist/head-cache.js',
      find: 'resize(maxBytes) {\n        this.maxBytes = maxBytes;',
      replace: 'resize(maxBytes) {\n        this.maxBytes = 2048;',
    },
  ],
};

/** Nothing of this may show either: a quarter of all commits begin late, in their order, so that a database is often done later than another that was asked after it. */
export const UNEVEN: Mutant = {
  name: 'uneven',
  isOfCrashes: false,
  mutations: [
    {
      module: 'libs/keyspace/dist/guarded-backend.js',
      find: 'await this.backend.commit(batch);',
      replace:
        'await (this.late = Promise.resolve(this.late).then(() => batch.lastRevision % 4n === 0n && new Promise((resolve) => setTimeout(resolve, 5)))); await this.backend.commit(batch);',
    },
  ],
};

export function mutationsOf(names: readonly string[]): Mutation[] {
  return names.flatMap((name) => mutantOf(name).mutations);
}

/** Throws when there is none of that name. */
export function mutantOf(name: string): Mutant {
  const found = [...MUTANTS, TIGHT, UNEVEN].find((each) => each.name === name);
  if (found === undefined)
    throw new UsageError(`there is no mutant "${name}": take one of ${MUTANTS.map((each) => `"${each.name}"`).join(', ')}`);
  return found;
}

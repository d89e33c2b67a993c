import { type Head, rowId } from './backend.js';
import { contains, singleKey } from './key-range.js';
import { decodeKeyValue, recordsOf } from './key-value.js';
import { keyText, textKey } from './key-text.js';
import type { KeyRange, KeyValueBytes, RangeRequest, RangeResult, Revision, TxnRangeResult, TxnRequest, TxnResult } from './model.js';
import { RecordArena } from './record-arena.js';
import { KeyspaceError, UnsupportedError } from './errors.js';
import { TxnJudge } from './txn-judge.js';
import { collect, MAX_RANGE_KEYS, type TxnScope } from './txn-scope.js';

export type ReadRange = (request: RangeRequest) => Promise<RangeResult>;

/**
 * A txn that only reads, at one revision that is settled everywhere: so it may be about keys of several backends. Rejects with
 * CompactedError when a compaction has passed the revision.
 */
export async function readTxn(txn: TxnRequest, revision: Revision, compactRevision: Revision, read: ReadRange): Promise<TxnResult> {
  const scope: TxnScope = { keys: [], ranges: [], pasts: [] };
  collect(txn, scope);
  const heads = new Map<string, Head>();
  const load = async (range: KeyRange): Promise<void> => {
    const request: RangeRequest = { type: 'range', range, revision, limit: 0, keysOnly: false, countOnly: false };
    for (const record of await allRecords(await read(request))) {
      const { key, modRevision } = decodeKeyValue(record);
      heads.set(keyText(key), { id: rowId(modRevision, 0), record });
    }
  };
  for (const range of [...scope.keys.map((text) => singleKey(textKey(text))), ...scope.ranges]) await load(range);
  const pasts = new Map<RangeRequest, TxnRangeResult | Error>();
  for (const past of scope.pasts) {
    const answer = await readPast(past, read).catch((error: unknown) => {
      if (error instanceof KeyspaceError) return error;
      throw error;
    });
    pasts.set(past, answer);
  }
  const settled = {
    head: (text: string): Head | null => heads.get(text) ?? null,
    *keysIn(range: KeyRange): Generator<string> {
      for (const text of heads.keys()) if (contains(range, textKey(text))) yield text;
    },
    past: (op: RangeRequest): TxnRangeResult | Error => pasts.get(op) as TxnRangeResult | Error,
  };
  const judge = new TxnJudge(settled, revision + 1n, compactRevision, () => false, new RecordArena());
  const { succeeded, responses } = judge.judge(txn);
  return { type: 'txn', revision, succeeded, responses };
}

/** A range at an old revision as a txn answers it. */
export async function readPast(request: RangeRequest, read: ReadRange): Promise<TxnRangeResult> {
  const result = await read(request);
  const { count, more } = result;
  return { type: 'range', count, more, kvs: await allRecords(result) };
}

/** Copies of all records of an answer. */
async function allRecords(result: RangeResult): Promise<KeyValueBytes[]> {
  if (result.records > MAX_RANGE_KEYS) {
    await result.rest?.return();
    throw new UnsupportedError(`a txn over more than ${MAX_RANGE_KEYS} keys`);
  }
  const records: KeyValueBytes[] = [];
  for (const block of result.blocks) for (const record of recordsOf(block)) records.push(Buffer.from(record));
  if (result.rest !== undefined)
    for await (const block of result.rest) for (const record of recordsOf(block)) records.push(Buffer.from(record));
  return records;
}

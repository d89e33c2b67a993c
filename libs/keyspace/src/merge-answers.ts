import type { RangeAnswer } from './backend.js';
import { framedSize, keyOf, frameRecord, recordsOf } from './key-value.js';
import type { KeyValueBytes } from './model.js';

/** Bytes of a merged block. */
const BLOCK_BYTES = 256 * 1024;

export interface MergedAnswer {
  readonly count: number;
  readonly more: boolean;
  readonly records: number;
  readonly bytes: number;
  readonly blocks: readonly Buffer[];
  readonly rest?: AsyncGenerator<Buffer, void, void>;
}

/** Answers of several backends to one range query at one revision, as the answer of one. Each has its own keys, in order. */
export async function mergeAnswers(answers: readonly RangeAnswer[], limit: number): Promise<MergedAnswer> {
  const count = answers.reduce((sum, answer) => sum + (answer.count ?? 0), 0);
  const records = answers.reduce((sum, answer) => sum + answer.records, 0);
  const bytes = answers.reduce((sum, answer) => sum + answer.bytes, 0);
  const isCut = limit > 0 && records > limit;
  if (!isCut && answers.some((answer) => answer.rest !== undefined)) {
    return { count, more: limit > 0 && count > records, records, bytes, blocks: [], rest: blocksOf(mergeRecords(answers)) };
  }
  const framed: Buffer[] = [];
  const merged = mergeRecords(answers);
  for await (const record of merged) {
    framed.push(frameRecord(record));
    if (limit > 0 && framed.length === limit) break; // ends the generator, which returns what is left
  }
  const block = Buffer.concat(framed);
  return { count, more: limit > 0 && count > framed.length, records: framed.length, bytes: block.length, blocks: block.length > 0 ? [block] : [] };
}

async function* blocksOf(records: AsyncGenerator<KeyValueBytes, void, void>): AsyncGenerator<Buffer, void, void> {
  let pending: Buffer[] = [];
  let bytes = 0;
  for await (const record of records) {
    pending.push(frameRecord(record));
    bytes += framedSize(record.length);
    if (bytes >= BLOCK_BYTES) {
      yield Buffer.concat(pending);
      pending = [];
      bytes = 0;
    }
  }
  if (pending.length > 0) yield Buffer.concat(pending);
}

async function* mergeRecords(answers: readonly RangeAnswer[]): AsyncGenerator<KeyValueBytes, void, void> {
  const sources = answers.map((answer) => recordsIn(answer));
  try {
    const heads = await Promise.all(sources.map((source) => source.next()));
    for (;;) {
      let lowest = -1;
      let lowestKey: Buffer | null = null;
      heads.forEach((head, i) => {
        if (head.done === true) return;
        const key = keyOf(head.value);
        if (lowestKey === null || Buffer.compare(key, lowestKey) < 0) {
          lowest = i;
          lowestKey = key;
        }
      });
      const head = heads[lowest];
      if (head === undefined || head.done === true) return;
      yield head.value;
      heads[lowest] = await (sources[lowest] as AsyncGenerator<KeyValueBytes, void, void>).next();
    }
  } finally {
    await Promise.all(answers.map((answer) => answer.rest?.return()));
  }
}

async function* recordsIn(answer: RangeAnswer): AsyncGenerator<KeyValueBytes, void, void> {
  for (const block of answer.blocks) yield* recordsOf(block);
  if (answer.rest !== undefined) for await (const block of answer.rest) yield* recordsOf(block);
}

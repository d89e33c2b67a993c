import type { RangeAnswer } from './backend.js';
import { BlockStream } from './block-stream.js';
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
  readonly rest?: BlockStream;
}

/** Answers of several backends to one range query at one revision, as the answer of one. Each has its own keys, in order. */
export async function mergeAnswers(answers: readonly RangeAnswer[], limit: number): Promise<MergedAnswer> {
  const count = answers.reduce((sum, answer) => sum + (answer.count ?? 0), 0);
  const records = answers.reduce((sum, answer) => sum + answer.records, 0);
  const bytes = answers.reduce((sum, answer) => sum + answer.bytes, 0);
  const isCut = limit > 0 && records > limit;
  if (!isCut && answers.some((answer) => answer.rest !== undefined)) {
    return { count, more: limit > 0 && count > records, records, bytes, blocks: [], rest: mergedBlocks(answers) };
  }
  const framed: Buffer[] = [];
  for await (const record of mergeRecords(answers)) {
    framed.push(frameRecord(record));
    if (limit > 0 && framed.length === limit) break; // ends the generator, which returns what is left
  }
  const block = Buffer.concat(framed);
  return {
    count,
    more: limit > 0 && count > framed.length,
    records: framed.length,
    bytes: block.length,
    blocks: block.length > 0 ? [block] : [],
  };
}

function mergedBlocks(answers: readonly RangeAnswer[]): BlockStream {
  const records = mergeRecords(answers);
  const read = async (): Promise<Buffer | null> => {
    const framed: Buffer[] = [];
    for (let bytes = 0; bytes < BLOCK_BYTES;) {
      const { value } = await records.next();
      if (value === undefined) break;
      framed.push(frameRecord(value));
      bytes += framedSize(value.length);
    }
    return framed.length > 0 ? Buffer.concat(framed) : null;
  };
  return new BlockStream(read, () => endAll(answers));
}

/** Gives up what is left of them. */
export async function endAll(answers: readonly RangeAnswer[]): Promise<void> {
  await Promise.all(answers.map((answer) => answer.rest?.return()));
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
    await endAll(answers);
  }
}

async function* recordsIn(answer: RangeAnswer): AsyncGenerator<KeyValueBytes, void, void> {
  for (const block of answer.blocks) yield* recordsOf(block);
  if (answer.rest !== undefined) for await (const block of answer.rest) yield* recordsOf(block);
}

import { UnsupportedError } from './errors.js';
import { framedSize, recordsOf, writeFramedRecord } from './key-value.js';
import type { RangeRequest, RangeResult, RangeSelection } from './model.js';
import { fetchFor, RangeSelector } from './range-selection.js';

/** Bytes of records that one sorted or filtered range may hold in memory: it cannot be streamed. */
const MAX_SELECTED_BYTES = 64 * 1024 * 1024;

/** A range that is sorted or filtered. */
export async function selectRange(
  request: RangeRequest,
  selection: RangeSelection,
  read: (request: RangeRequest) => Promise<RangeResult>,
): Promise<RangeResult> {
  const fetched = await read(fetchFor(request, selection));
  if (request.countOnly) return fetched;
  const selector = new RangeSelector(request, selection);
  const take = (block: Buffer): void => {
    for (const record of recordsOf(block)) selector.add(record);
    if (selector.bytes > MAX_SELECTED_BYTES) {
      throw new UnsupportedError(`a sorted or filtered range of more than ${MAX_SELECTED_BYTES} bytes without a lower limit`);
    }
  };
  try {
    for (const block of fetched.blocks) take(block);
    for await (const block of fetched.rest ?? []) take(block);
  } finally {
    await fetched.rest?.return();
  }
  const { kvs, more } = selector.result();
  const block = Buffer.allocUnsafe(kvs.reduce((sum, kv) => sum + framedSize(kv.length), 0));
  let offset = 0;
  for (const kv of kvs) offset = writeFramedRecord(block, offset, kv);
  const { revision, count } = fetched;
  return { revision, count, more, records: kvs.length, bytes: block.length, blocks: kvs.length > 0 ? [block] : [] };
}

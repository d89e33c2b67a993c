import type { RangeResult } from '@harikube/keyspace';
import type { LargeReply, Reply } from '../wire/reply.js';
import { type WireReader } from '../wire/wire-reader.js';
import { FRAME_PREFIX, writeFramePrefix, writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** `RangeRequest.SortOrder`. */
export const SortOrder = { None: 0, Ascend: 1, Descend: 2 } as const;

/** `etcdserverpb.RangeRequest` as it came over the wire. */
export interface RangeMessage {
  readonly type: 'range';
  key: Buffer;
  rangeEnd: Buffer;
  limit: bigint;
  revision: bigint;
  sortOrder: number;
  sortTarget: number;
  serializable: boolean;
  keysOnly: boolean;
  countOnly: boolean;
  minModRevision: bigint;
  maxModRevision: bigint;
  minCreateRevision: bigint;
  maxCreateRevision: bigint;
}

const EMPTY = Buffer.alloc(0);

export function decodeRangeRequest(reader: WireReader): RangeMessage {
  const message: RangeMessage = {
    type: 'range',
    key: EMPTY,
    rangeEnd: EMPTY,
    limit: 0n,
    revision: 0n,
    sortOrder: 0,
    sortTarget: 0,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0n,
    maxModRevision: 0n,
    minCreateRevision: 0n,
    maxCreateRevision: 0n,
  };
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message.key = reader.bytes();
        break;
      case 2:
        message.rangeEnd = reader.bytes();
        break;
      case 3:
        message.limit = reader.int64();
        break;
      case 4:
        message.revision = reader.int64();
        break;
      case 5:
        message.sortOrder = reader.enumeration();
        break;
      case 6:
        message.sortTarget = reader.enumeration();
        break;
      case 7:
        message.serializable = reader.bool();
        break;
      case 8:
        message.keysOnly = reader.bool();
        break;
      case 9:
        message.countOnly = reader.bool();
        break;
      case 10:
        message.minModRevision = reader.int64();
        break;
      case 11:
        message.maxModRevision = reader.int64();
        break;
      case 12:
        message.minCreateRevision = reader.int64();
        break;
      case 13:
        message.maxCreateRevision = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** Up to here a list is copied into one buffer; above it, its blocks are sent as they are. */
const COPY_LIMIT = 32 * 1024;

/** The answer to a Range: `header`=1, `kvs`=2, `more`=3, `count`=4. */
export function encodeRangeResponse(header: ResponseHeaderWriter, result: RangeResult): Reply {
  const target = writer.reset();
  header.write(target, result.revision);
  const headEnd = target.position;
  target.bool(3, result.more);
  target.number(4, result.count);
  const tailEnd = target.position;
  const length = tailEnd + result.bytes;
  if (result.rest === undefined && result.bytes <= COPY_LIMIT) {
    const frame = Buffer.allocUnsafe(length);
    let offset = target.copyTo(frame, 0, 0, headEnd);
    for (const block of result.blocks) offset += block.copy(frame, offset);
    target.copyTo(frame, offset, headEnd, tailEnd);
    writeFramePrefix(frame, length - FRAME_PREFIX);
    return frame;
  }
  const head = target.slice(0, headEnd);
  writeFramePrefix(head, length - FRAME_PREFIX);
  return { length, head: [head, ...result.blocks], rest: result.rest, tail: target.slice(headEnd, tailEnd) } satisfies LargeReply;
}

/** One part of a RangeStream that is not the last: `range_response`=1 with records and nothing else. */
export function encodeRangeStreamPart(records: readonly Buffer[], bytes: number): readonly Buffer[] {
  const target = writer.reset();
  target.beginOfLength(1, bytes);
  const head = target.slice(0);
  writeFramePrefix(head, head.length - FRAME_PREFIX + bytes);
  return [head, ...records];
}

/** The last part of a RangeStream: the remaining records, and the header, `more` and `count` of the whole. */
export function encodeRangeStreamEnd(
  header: ResponseHeaderWriter,
  result: RangeResult,
  records: readonly Buffer[],
  bytes: number,
): readonly Buffer[] {
  const target = writer.reset();
  header.write(target, result.revision);
  const headerBytes = target.slice(FRAME_PREFIX);
  const tailStart = target.position;
  target.bool(3, result.more);
  target.number(4, result.count);
  const tail = target.slice(tailStart);
  target.reset().beginOfLength(1, headerBytes.length + bytes + tail.length);
  target.raw(headerBytes);
  const head = target.slice(0);
  writeFramePrefix(head, head.length - FRAME_PREFIX + bytes + tail.length);
  return [head, ...records, tail];
}

import type { KeyValueBytes } from '@harikube/keyspace';
import type { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** `etcdserverpb.DeleteRangeRequest` as it came over the wire. */
export interface DeleteRangeMessage {
  readonly type: 'delete';
  key: Buffer;
  rangeEnd: Buffer;
  prevKv: boolean;
}

const EMPTY = Buffer.alloc(0);

export function decodeDeleteRangeRequest(reader: WireReader): DeleteRangeMessage {
  const message: DeleteRangeMessage = { type: 'delete', key: EMPTY, rangeEnd: EMPTY, prevKv: false };
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message.key = reader.bytes();
        break;
      case 2:
        message.rangeEnd = reader.bytes();
        break;
      case 3:
        message.prevKv = reader.bool();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** The answer to a DeleteRange: `header`=1, `deleted`=2, `prev_kvs`=3. */
export function encodeDeleteRangeResponse(
  header: ResponseHeaderWriter,
  revision: bigint,
  deleted: number,
  prevKvs: readonly KeyValueBytes[],
): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  target.number(2, deleted);
  for (const kv of prevKvs) target.bytesAlways(3, kv);
  return target.frame();
}

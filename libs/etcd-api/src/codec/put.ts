import type { KeyValueBytes } from '@harikube/keyspace';
import type { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** `etcdserverpb.PutRequest` as it came over the wire. */
export interface PutMessage {
  readonly type: 'put';
  key: Buffer;
  value: Buffer;
  lease: bigint;
  prevKv: boolean;
  ignoreValue: boolean;
  ignoreLease: boolean;
}

const EMPTY = Buffer.alloc(0);

export function decodePutRequest(reader: WireReader): PutMessage {
  const message: PutMessage = { type: 'put', key: EMPTY, value: EMPTY, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message.key = reader.bytes();
        break;
      case 2:
        message.value = reader.bytes();
        break;
      case 3:
        message.lease = reader.int64();
        break;
      case 4:
        message.prevKv = reader.bool();
        break;
      case 5:
        message.ignoreValue = reader.bool();
        break;
      case 6:
        message.ignoreLease = reader.bool();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** The answer to a Put: `header`=1, `prev_kv`=2. */
export function encodePutResponse(header: ResponseHeaderWriter, revision: bigint, prevKv: KeyValueBytes | null): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  if (prevKv !== null) target.bytesAlways(2, prevKv);
  return target.frame();
}

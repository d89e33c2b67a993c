import type { WireReader } from '../wire/wire-reader.js';

/** `etcdserverpb.CompactionRequest` as it came over the wire. */
export interface CompactionMessage {
  revision: bigint;
  physical: boolean;
}

export function decodeCompactionRequest(reader: WireReader): CompactionMessage {
  const message: CompactionMessage = { revision: 0n, physical: false };
  while (reader.next()) {
    if (reader.field === 1) message.revision = reader.int64();
    else if (reader.field === 2) message.physical = reader.bool();
    else reader.skip();
  }
  return message;
}

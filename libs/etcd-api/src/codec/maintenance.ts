import type { KeyspaceHash } from '@harikube/keyspace';
import type { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** What `etcdserverpb.StatusResponse` says. */
export interface StatusMessage {
  readonly revision: bigint;
  readonly version: string;
  readonly storageVersion: string;
  readonly sizeBytes: number;
  readonly sizeInUseBytes: number;
}

/**
 * The answer to Status. The one member is its own leader, and the revision stands for the log's index: tools only look
 * whether index and applied index agree.
 */
export function encodeStatusResponse(header: ResponseHeaderWriter, status: StatusMessage): Buffer {
  const target = writer.reset();
  header.write(target, status.revision);
  target.string(2, status.version);
  target.number(3, status.sizeBytes);
  target.int64(4, header.identity.memberId);
  target.int64(5, status.revision);
  target.int64(6, header.identity.raftTerm);
  target.int64(7, status.revision);
  target.number(9, status.sizeInUseBytes);
  target.string(11, status.storageVersion);
  target.end(target.begin(13));
  return target.frame();
}

/** `AlarmRequest.AlarmAction`. */
export const AlarmAction = { Get: 0, Activate: 1, Deactivate: 2 } as const;

/** `etcdserverpb.AlarmRequest` as it came over the wire. */
export interface AlarmMessage {
  action: number;
  memberId: bigint;
  alarm: number;
}

export function decodeAlarmRequest(reader: WireReader): AlarmMessage {
  const message: AlarmMessage = { action: 0, memberId: 0n, alarm: 0 };
  while (reader.next()) {
    if (reader.field === 1) message.action = reader.enumeration();
    else if (reader.field === 2) message.memberId = reader.uint64();
    else if (reader.field === 3) message.alarm = reader.enumeration();
    else reader.skip();
  }
  return message;
}

/** HashKVRequest: `revision`=1. */
export function decodeHashKvRequest(reader: WireReader): bigint {
  let revision = 0n;
  while (reader.next()) {
    if (reader.field === 1) revision = reader.int64();
    else reader.skip();
  }
  return revision;
}

/** The answer to a HashKV: `header`=1, `hash`=2, `compact_revision`=3, `hash_revision`=4. */
export function encodeHashKvResponse(header: ResponseHeaderWriter, result: KeyspaceHash): Buffer {
  const target = writer.reset();
  header.write(target, result.revision);
  target.number(2, result.hash);
  target.int64(3, result.compactRevision);
  target.int64(4, result.hashRevision);
  return target.frame();
}

/** The answer to a Hash: `header`=1, `hash`=2. */
export function encodeHashResponse(header: ResponseHeaderWriter, result: KeyspaceHash): Buffer {
  const target = writer.reset();
  header.write(target, result.revision);
  target.number(2, result.hash);
  return target.frame();
}

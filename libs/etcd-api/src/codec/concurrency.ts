import type { KeyValueBytes } from '@harikube/keyspace';
import type { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** `v3lockpb.LockRequest`, `v3electionpb.CampaignRequest` and `LeaderRequest`: `name`=1, `lease`=2, `value`=3, as far as each has them. */
export interface CandidateMessage {
  name: Buffer;
  lease: bigint;
  value: Buffer;
}

/** `v3electionpb.LeaderKey`. */
export interface LeaderKeyMessage {
  name: Buffer;
  key: Buffer;
  revision: bigint;
  lease: bigint;
}

/** `v3electionpb.ProclaimRequest` and `ResignRequest`: `leader`=1, `value`=2, as far as each has them. */
export interface LeaderMessage {
  leader: LeaderKeyMessage | null;
  value: Buffer;
}

const EMPTY = Buffer.alloc(0);

export function decodeCandidate(reader: WireReader): CandidateMessage {
  const message: CandidateMessage = { name: EMPTY, lease: 0n, value: EMPTY };
  while (reader.next()) {
    if (reader.field === 1) message.name = reader.bytes();
    else if (reader.field === 2) message.lease = reader.int64();
    else if (reader.field === 3) message.value = reader.bytes();
    else reader.skip();
  }
  return message;
}

export function decodeLeaderMessage(reader: WireReader): LeaderMessage {
  const message: LeaderMessage = { leader: null, value: EMPTY };
  while (reader.next()) {
    if (reader.field === 1) message.leader = decodeLeaderKey(reader.message());
    else if (reader.field === 2) message.value = reader.bytes();
    else reader.skip();
  }
  return message;
}

function decodeLeaderKey(reader: WireReader): LeaderKeyMessage {
  const message: LeaderKeyMessage = { name: EMPTY, key: EMPTY, revision: 0n, lease: 0n };
  while (reader.next()) {
    if (reader.field === 1) message.name = reader.bytes();
    else if (reader.field === 2) message.key = reader.bytes();
    else if (reader.field === 3) message.revision = reader.int64();
    else if (reader.field === 4) message.lease = reader.int64();
    else reader.skip();
  }
  return message;
}

/** `v3lockpb.UnlockRequest`: `key`=1. */
export function decodeUnlockRequest(reader: WireReader): Buffer {
  let key: Buffer = EMPTY;
  while (reader.next()) {
    if (reader.field === 1) key = reader.bytes();
    else reader.skip();
  }
  return key;
}

/** `v3lockpb.LockResponse`: `header`=1, `key`=2. */
export function encodeLockResponse(header: ResponseHeaderWriter, revision: bigint, key: Buffer): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  target.bytesAlways(2, key);
  return target.frame();
}

/** `v3electionpb.CampaignResponse`: `header`=1, `leader`=2 of `name`=1, `key`=2, `rev`=3, `lease`=4. */
export function encodeCampaignResponse(header: ResponseHeaderWriter, revision: bigint, leader: LeaderKeyMessage): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  const mark = target.begin(2);
  if (leader.name.length > 0) target.bytesAlways(1, leader.name);
  target.bytesAlways(2, leader.key);
  target.int64(3, leader.revision);
  target.int64(4, leader.lease);
  target.end(mark);
  return target.frame();
}

/** `v3electionpb.LeaderResponse`: `header`=1, `kv`=2. */
export function encodeLeaderResponse(header: ResponseHeaderWriter, revision: bigint, record: KeyValueBytes): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  target.bytesAlways(2, record);
  return target.frame();
}

/** A framed `mvccpb.Event` (field 11 of a WatchResponse): whether it is a deletion, and its record. */
export function decodeEvent(reader: WireReader): { readonly isDelete: boolean; readonly record: KeyValueBytes } {
  let isDelete = false;
  let record: KeyValueBytes = EMPTY;
  while (reader.next()) {
    const event = reader.message();
    while (event.next()) {
      if (event.field === 1) isDelete = event.enumeration() === 1;
      else if (event.field === 2) record = event.bytes();
      else event.skip();
    }
  }
  return { isDelete, record };
}

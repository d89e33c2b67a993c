import type { LeaseGranted, LeaseLife } from '@harikube/keyspace';
import type { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** `etcdserverpb.LeaseGrantRequest` as it came over the wire. */
export interface LeaseGrantMessage {
  ttl: bigint;
  id: bigint;
}

export function decodeLeaseGrantRequest(reader: WireReader): LeaseGrantMessage {
  const message: LeaseGrantMessage = { ttl: 0n, id: 0n };
  while (reader.next()) {
    if (reader.field === 1) message.ttl = reader.int64();
    else if (reader.field === 2) message.id = reader.int64();
    else reader.skip();
  }
  return message;
}

/** LeaseRevokeRequest and LeaseKeepAliveRequest: both hold `ID`=1. */
export function decodeLeaseId(reader: WireReader): bigint {
  let id = 0n;
  while (reader.next()) {
    if (reader.field === 1) id = reader.int64();
    else reader.skip();
  }
  return id;
}

/** `etcdserverpb.LeaseTimeToLiveRequest` as it came over the wire. */
export interface LeaseTimeToLiveMessage {
  id: bigint;
  keys: boolean;
}

export function decodeLeaseTimeToLiveRequest(reader: WireReader): LeaseTimeToLiveMessage {
  const message: LeaseTimeToLiveMessage = { id: 0n, keys: false };
  while (reader.next()) {
    if (reader.field === 1) message.id = reader.int64();
    else if (reader.field === 2) message.keys = reader.bool();
    else reader.skip();
  }
  return message;
}

/** The answer to a LeaseTimeToLive: `header`=1, `ID`=2, `TTL`=3 (-1: no such lease), `grantedTTL`=4, `keys`=5. */
export function encodeLeaseTimeToLiveResponse(header: ResponseHeaderWriter, revision: bigint, id: bigint, life: LeaseLife | null): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  target.int64(2, id);
  target.int64(3, life === null ? -1n : life.ttl);
  if (life !== null) {
    target.int64(4, life.granted);
    for (const key of life.keys) target.bytesAlways(5, key);
  }
  return target.frame();
}

/** The answer to a LeaseLeases: `header`=1, `leases`=2 of `ID`=1. */
export function encodeLeaseLeasesResponse(header: ResponseHeaderWriter, revision: bigint, ids: readonly bigint[]): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  for (const id of ids) {
    const mark = target.begin(2);
    target.int64(1, id);
    target.end(mark);
  }
  return target.frame();
}

/** The answer to a LeaseGrant: `header`=1, `ID`=2, `TTL`=3. */
export function encodeLeaseGrantResponse(header: ResponseHeaderWriter, lease: LeaseGranted): Buffer {
  return encodeLease(header, lease.revision, lease.id, lease.ttl);
}

/** The answer to a keep-alive: `header`=1, `ID`=2, `TTL`=3 (0: no such lease). */
export function encodeLeaseKeepAliveResponse(header: ResponseHeaderWriter, revision: bigint, id: bigint, ttl: bigint): Buffer {
  return encodeLease(header, revision, id, ttl);
}

function encodeLease(header: ResponseHeaderWriter, revision: bigint, id: bigint, ttl: bigint): Buffer {
  const target = writer.reset();
  header.write(target, revision);
  target.int64(2, id);
  target.int64(3, ttl);
  return target.frame();
}

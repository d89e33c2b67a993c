import type { LeaseGranted } from '@harikube/keyspace';
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

import { decodeCompactionRequest } from '../codec/compaction.js';
import { decodeCandidate, decodeLeaderMessage, decodeUnlockRequest } from '../codec/concurrency.js';
import { decodeDeleteRangeRequest } from '../codec/delete-range.js';
import { decodeHealthCheckRequest } from '../codec/health.js';
import { decodeLeaseGrantRequest, decodeLeaseId, decodeLeaseTimeToLiveRequest } from '../codec/lease.js';
import { decodeAlarmRequest, decodeHashKvRequest } from '../codec/maintenance.js';
import { decodePutRequest } from '../codec/put.js';
import { decodeRangeRequest } from '../codec/range.js';
import { CompareMember, decodeTxnRequest } from '../codec/txn.js';
import { decodeWatchRequest } from '../codec/watch.js';
import { GrpcError } from '../wire/grpc-status.js';
import { WireReader } from '../wire/wire-reader.js';
import { decode, fieldsOf, type PlainMessage, readable } from './protocol.js';

/** A decoder of ours, and what it makes of a message that the generic implementation has read. */
export interface DecoderCase {
  readonly type: string;
  readonly decode: (reader: WireReader) => unknown;
  readonly expected: (plain: PlainMessage) => unknown;
}

/** Every decoder of requests. */
export const DECODERS: readonly DecoderCase[] = [
  { type: 'etcdserverpb.RangeRequest', decode: decodeRangeRequest, expected: rangeOf },
  { type: 'etcdserverpb.PutRequest', decode: decodePutRequest, expected: putOf },
  { type: 'etcdserverpb.DeleteRangeRequest', decode: decodeDeleteRangeRequest, expected: deleteOf },
  { type: 'etcdserverpb.TxnRequest', decode: (reader) => decodeTxnRequest(reader), expected: txnOf },
  { type: 'etcdserverpb.WatchRequest', decode: decodeWatchRequest, expected: watchOf },
  { type: 'etcdserverpb.CompactionRequest', decode: decodeCompactionRequest, expected: ours },
  { type: 'etcdserverpb.LeaseGrantRequest', decode: decodeLeaseGrantRequest, expected: ({ TTL, ID }) => ours({ ttl: TTL, id: ID }) },
  { type: 'etcdserverpb.LeaseRevokeRequest', decode: decodeLeaseId, expected: ({ ID }) => BigInt(String(ID)) },
  {
    type: 'etcdserverpb.LeaseTimeToLiveRequest',
    decode: decodeLeaseTimeToLiveRequest,
    expected: ({ ID, keys }) => ours({ id: ID, keys }),
  },
  {
    type: 'etcdserverpb.AlarmRequest',
    decode: decodeAlarmRequest,
    expected: ({ action, memberID, alarm }) => ours({ action, memberId: memberID, alarm }),
  },
  { type: 'etcdserverpb.HashKVRequest', decode: decodeHashKvRequest, expected: ({ revision }) => BigInt(String(revision)) },
  { type: 'grpc.health.v1.HealthCheckRequest', decode: decodeHealthCheckRequest, expected: ({ service }) => service },
  { type: 'v3electionpb.CampaignRequest', decode: decodeCandidate, expected: ours },
  { type: 'v3electionpb.ProclaimRequest', decode: decodeLeaderMessage, expected: leaderOf },
  { type: 'v3lockpb.UnlockRequest', decode: decodeUnlockRequest, expected: ({ key }) => key },
];

/** What is wrong with what the decoder makes of these bytes; null: nothing. It may refuse them, by its own error. */
export function judgeDecoder({ type, decode: decodeOurs, expected }: DecoderCase, bytes: Buffer): string | null {
  let message: unknown;
  try {
    message = decodeOurs(new WireReader(bytes));
  } catch (error) {
    return error instanceof GrpcError ? null : `${type}: ${String(error)}`;
  }
  let plain: PlainMessage;
  try {
    plain = decode(type, bytes);
  } catch {
    // What the two refuse differs: only what both accept is compared.
    return null;
  }
  const [read, wanted] = [readable(message), readable(expected(plain))].map((value) => JSON.stringify(value, textOf));
  // etcd's own decoder replaces a member of a oneof that comes twice, as ours does; the generic one merges the two.
  return read === wanted || repeatsMessage(type, bytes) ? null : `${type}: read as ${read} instead of ${wanted}`;
}

/** A message holds another one twice in a field that is not repeated, at any depth. */
function repeatsMessage(type: string, bytes: Buffer): boolean {
  const seen = new Set<number>();
  const fields = fieldsOf(type);
  const reader = new WireReader(bytes);
  while (reader.next()) {
    const field = fields.find(({ number, kind }) => number === reader.field && kind === 'message');
    if (field === undefined) {
      reader.skip();
      continue;
    }
    if (!field.isRepeated && seen.has(field.number)) return true;
    seen.add(field.number);
    if (repeatsMessage(field.type, reader.bytes())) return true;
  }
  return false;
}

function textOf(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names as ours, and numbers of 64 bits as bigints. */
function ours(plain: PlainMessage): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(plain).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      typeof value === 'string' ? BigInt(value) : value,
    ]),
  );
}

function rangeOf(plain: PlainMessage): unknown {
  return { type: 'range', ...ours(plain) };
}

function putOf(plain: PlainMessage): unknown {
  return { type: 'put', ...ours(plain) };
}

function deleteOf(plain: PlainMessage): unknown {
  return { type: 'delete', ...ours(plain) };
}

function leaderOf({ leader, value }: PlainMessage): unknown {
  if (leader === null || leader === undefined) return { leader: null, value };
  const { rev, ...rest } = leader as PlainMessage;
  return { leader: ours({ ...rest, revision: rev }), value };
}

function txnOf({ compare, success, failure }: PlainMessage): unknown {
  return {
    type: 'txn',
    compare: (compare as PlainMessage[]).map(compareOf),
    success: (success as PlainMessage[]).map(operationOf),
    failure: (failure as PlainMessage[]).map(operationOf),
  };
}

const OPERATIONS: Readonly<Record<string, (plain: PlainMessage) => unknown>> = {
  request_range: rangeOf,
  request_put: putOf,
  request_delete_range: deleteOf,
  request_txn: txnOf,
};

function operationOf(plain: PlainMessage): unknown {
  const { request } = plain;
  return typeof request === 'string' ? OPERATIONS[request]?.(plain[request] as PlainMessage) : null;
}

const MEMBERS: Readonly<Record<string, number>> = {
  version: CompareMember.Version,
  create_revision: CompareMember.CreateRevision,
  mod_revision: CompareMember.ModRevision,
  value: CompareMember.Value,
  lease: CompareMember.Lease,
};

function compareOf(plain: PlainMessage): unknown {
  const { result, target, key, range_end: rangeEnd, target_union: name } = plain;
  const value = typeof name === 'string' ? plain[name] : undefined;
  const isNumber = typeof value === 'string';
  return {
    ...{ result, target, key, rangeEnd, member: typeof name === 'string' ? MEMBERS[name] : CompareMember.None },
    ...{ number: isNumber ? BigInt(value) : 0n, value: isNumber || value === undefined ? Buffer.alloc(0) : value },
  };
}

function watchOf(plain: PlainMessage): unknown {
  switch (plain['request_union']) {
    case 'create_request':
      return { type: 'create', ...ours(plain['create_request'] as PlainMessage) };
    case 'cancel_request':
      return { type: 'cancel', ...ours(plain['cancel_request'] as PlainMessage) };
    case 'progress_request':
      return { type: 'progress' };
    default:
      return null;
  }
}

import { isDeepStrictEqual } from 'node:util';
import type { Answer } from './contender.js';
import type { PlainMessage, PlainValue } from './etcd-messages.js';

/** Beyond so many records Go's sort does not keep the order of equals. */
const STABLE_RECORDS = 12;
/** Seconds by which two servers may differ in what is left of a lease. */
const TTL_SLACK = 3n;

/** Whether two servers have given the same answer, ids and times aside. */
export function isSameAnswer(method: string, request: PlainMessage, one: Answer, other: Answer): boolean {
  if (one.code !== other.code || one.text !== other.text || one.messages.length !== other.messages.length) return false;
  return one.messages.every((message, i) => isSameMessage(method, request, message, other.messages[i] as PlainMessage));
}

function isSameMessage(method: string, request: PlainMessage, one: PlainMessage, other: PlainMessage): boolean {
  if (method === 'Lease/LeaseTimeToLive' && !isNear(one['TTL'], other['TTL'])) return false;
  return isDeepStrictEqual(comparable(method, request, one), comparable(method, request, other));
}

function isNear(one: PlainValue | undefined, other: PlainValue | undefined): boolean {
  const difference = ((one ?? 0n) as bigint) - ((other ?? 0n) as bigint);
  return difference <= TTL_SLACK && difference >= -TTL_SLACK;
}

/** The message without what two servers may tell differently. */
function comparable(method: string, request: PlainMessage, message: PlainMessage): PlainMessage {
  const told = withoutIdentity(message) as Record<string, PlainValue>;
  switch (method) {
    case 'Lease/LeaseTimeToLive': {
      const { TTL: _ttl, ...rest } = told;
      // etcd tells the keys in the order of a hash table.
      return { ...rest, keys: [...((told['keys'] ?? []) as string[])].sort() };
    }
    case 'Maintenance/HashKV': {
      // etcd may answer with a hash that it has kept from an earlier compaction, and tells that one's revision.
      const { hash: _hash, compact_revision: _compactRevision, ...rest } = told;
      return rest;
    }
    case 'KV/Range':
      return isUnstable(request, told)
        ? { ...told, kvs: [...((told['kvs'] ?? []) as PlainMessage[])].map((kv) => sortedBy(request, kv)) }
        : told;
    default:
      return told;
  }
}

/** Cluster, member and term are each server's own. */
function withoutIdentity(message: PlainMessage): PlainMessage {
  const { header, ...rest } = message;
  if (header === undefined) return rest;
  const { revision } = header as { revision?: bigint };
  return { ...rest, header: revision === undefined ? {} : { revision } };
}

function isUnstable(request: PlainMessage, told: PlainMessage): boolean {
  const target = request['sort_target'] ?? 0n;
  return target !== 0n && ((told['count'] ?? 0n) as bigint) > STABLE_RECORDS;
}

/** What records are sorted by: of two with the same, either may come first. */
function sortedBy(request: PlainMessage, kv: PlainMessage): PlainValue {
  const fields = ['key', 'version', 'create_revision', 'mod_revision', 'value'];
  return kv[fields[Number(request['sort_target'] ?? 0n)] ?? 'key'] ?? '';
}

import { decodeMessage, encodeMessage, type PlainMessage } from '../differential/etcd-messages.js';
import type { Change, Compare, Kv, Operation, OperationResult, Request, Result } from './history.js';

const RESULTS = { equal: 0n, greater: 1n, less: 2n, 'not-equal': 3n };
const TARGETS = { version: 0n, create: 1n, mod: 2n, value: 3n, lease: 4n };
const TARGET_FIELDS = { version: 'version', create: 'create_revision', mod: 'mod_revision', value: 'value', lease: 'lease' };

/** A call as gRPC has it. */
export interface WireCall {
  readonly path: string;
  readonly bytes: Buffer;
  readonly answerType: string;
}

const CALLS: Readonly<Record<Request['type'], readonly [service: string, method: string, message: string]>> = {
  range: ['KV', 'Range', 'Range'],
  put: ['KV', 'Put', 'Put'],
  delete: ['KV', 'DeleteRange', 'DeleteRange'],
  txn: ['KV', 'Txn', 'Txn'],
  compact: ['KV', 'Compact', 'Compaction'],
  grant: ['Lease', 'LeaseGrant', 'LeaseGrant'],
  revoke: ['Lease', 'LeaseRevoke', 'LeaseRevoke'],
  'keep-alive': ['Lease', 'LeaseKeepAlive', 'LeaseKeepAlive'],
};

export function wireCall(request: Request): WireCall {
  const [service, method, message] = CALLS[request.type];
  return {
    path: `/etcdserverpb.${service}/${method}`,
    bytes: encodeMessage(`${message}Request`, plainRequest(request)),
    answerType: `${message}Response`,
  };
}

/** The header's revision and what it was told under. */
export function readAnswer(
  request: Request,
  { answerType }: WireCall,
  bytes: Buffer,
): { readonly revision: bigint; readonly result: Result } {
  const message = decodeMessage(answerType, bytes);
  return { revision: headerRevision(message), result: resultOf(request, message) };
}

function plainRequest(request: Request): PlainMessage {
  switch (request.type) {
    case 'compact':
      return { revision: request.revision };
    case 'grant':
      return { ID: request.lease, TTL: request.ttl };
    case 'revoke':
    case 'keep-alive':
      return { ID: request.lease };
    default:
      return plainOperation(request);
  }
}

function plainOperation(operation: Operation): PlainMessage {
  switch (operation.type) {
    case 'range': {
      const { key, end, revision, limit, keysOnly, countOnly } = operation;
      return { key, range_end: end, revision, limit: BigInt(limit), keys_only: keysOnly, count_only: countOnly };
    }
    case 'put': {
      const { key, value, lease, prevKv } = operation;
      return { key, value, lease, prev_kv: prevKv };
    }
    case 'delete':
      return { key: operation.key, range_end: operation.end, prev_kv: operation.prevKv };
    case 'txn':
      return {
        compare: operation.compares.map(plainCompare),
        success: operation.success.map(taggedOperation),
        failure: operation.failure.map(taggedOperation),
      };
  }
}

const TAGS = { range: 'range', put: 'put', delete: 'delete_range', txn: 'txn' };

function taggedOperation(operation: Operation): PlainMessage {
  return { [`request_${TAGS[operation.type]}`]: plainOperation(operation) };
}

function plainCompare({ key, end, target, result, number, value }: Compare): PlainMessage {
  const compared = target === 'value' ? value : number;
  return { key, range_end: end, result: RESULTS[result], target: TARGETS[target], [TARGET_FIELDS[target]]: compared };
}

function resultOf(request: Request, message: PlainMessage): Result {
  switch (request.type) {
    case 'compact':
    case 'revoke':
      return { type: request.type };
    case 'grant':
    case 'keep-alive':
      return { type: request.type, ttl: number(message, 'TTL') };
    default:
      return operationResult(request.type, message);
  }
}

function operationResult(type: Operation['type'], message: PlainMessage): OperationResult {
  switch (type) {
    case 'range':
      return { type, kvs: list(message, 'kvs').map(kvOf), count: Number(number(message, 'count')), more: message['more'] === true };
    case 'put':
      return { type, prev: optionalKv(message) };
    case 'delete':
      return { type, deleted: Number(number(message, 'deleted')), prevs: list(message, 'prev_kvs').map(kvOf) };
    case 'txn':
      return { type, succeeded: message['succeeded'] === true, results: list(message, 'responses').map(taggedResult) };
  }
}

function taggedResult(response: PlainMessage): OperationResult {
  for (const type of ['range', 'put', 'delete', 'txn'] as const) {
    const message = response[`response_${TAGS[type]}`];
    if (message !== undefined) return operationResult(type, message as PlainMessage);
  }
  throw new Error('a response of a txn is of no kind');
}

export function changeOf(event: PlainMessage): Change {
  return { isDelete: event['type'] === 1n, kv: kvOf((event['kv'] ?? {}) as PlainMessage), prev: optionalKv(event) };
}

function optionalKv(message: PlainMessage): Kv | null {
  const kv = message['prev_kv'] as PlainMessage | undefined;
  return kv === undefined ? null : kvOf(kv);
}

function kvOf(message: PlainMessage): Kv {
  return {
    key: text(message, 'key'),
    value: text(message, 'value'),
    createRevision: number(message, 'create_revision'),
    modRevision: number(message, 'mod_revision'),
    version: number(message, 'version'),
    lease: number(message, 'lease'),
  };
}

export function headerRevision(message: PlainMessage): bigint {
  return number((message['header'] ?? {}) as PlainMessage, 'revision');
}

/** A field that holds 0 is not there. */
export function number(message: PlainMessage, field: string): bigint {
  return (message[field] ?? 0n) as bigint;
}

export function text(message: PlainMessage, field: string): string {
  return (message[field] ?? '') as string;
}

export function list(message: PlainMessage, field: string): readonly PlainMessage[] {
  return (message[field] ?? []) as readonly PlainMessage[];
}

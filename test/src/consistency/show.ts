import type { Change, Compare, Kv, Operation, RecordedCall, RecordedWatch, Request, Result, WatchMessage } from './history.js';

/* What happened, in words. */

const SHOWN_OF_A_VALUE = 16;
const SHOWN_KVS = 40;

/** A range, with its last character before the end. */
function showRange({ key, end }: { readonly key: string; readonly end: string }): string {
  return end === '' ? showKey(key) : `[${showKey(key)}, ${showKey(end)})`;
}

function showKey(key: string): string {
  return key.replaceAll('\0', '\\0');
}

function brief(value: string): string {
  return value.length > SHOWN_OF_A_VALUE ? `${value.slice(0, SHOWN_OF_A_VALUE)}…` : value;
}

export function showKv(kv: Kv | null): string {
  if (kv === null) return 'nothing';
  const lease = kv.lease === 0n ? '' : ` lease ${kv.lease}`;
  return `${showKey(kv.key)}=${brief(kv.value)}@${kv.modRevision} (created ${kv.createRevision}, version ${kv.version}${lease})`;
}

export function showChange({ isDelete, kv }: Change): string {
  return isDelete
    ? `the deletion of ${showKey(kv.key)} at ${kv.modRevision}`
    : `the put of ${showKey(kv.key)}=${brief(kv.value)} at ${kv.modRevision}`;
}

const SIGNS = { equal: '=', 'not-equal': '!=', greater: '>', less: '<' };

function showCompare(compare: Compare): string {
  const compared = compare.target === 'value' ? brief(compare.value) : `${compare.number}`;
  return `${compare.target}(${showRange(compare)}) ${SIGNS[compare.result]} ${compared}`;
}

function showOperation(operation: Operation): string {
  switch (operation.type) {
    case 'range': {
      const { revision, limit, keysOnly, countOnly } = operation;
      const at = revision === 0n ? '' : ` at ${revision}`;
      return `range ${showRange(operation)}${at}${limit === 0 ? '' : ` limit ${limit}`}${keysOnly ? ' keys' : ''}${countOnly ? ' count' : ''}`;
    }
    case 'put':
      return `put ${showKey(operation.key)}=${brief(operation.value)}${operation.lease === 0n ? '' : ` lease ${operation.lease}`}`;
    case 'delete':
      return `delete ${showRange(operation)}`;
    case 'txn': {
      const branch = (operations: readonly Operation[]): string => operations.map(showOperation).join(', ');
      return `txn if ${operation.compares.map(showCompare).join(' and ') || 'true'} then {${branch(operation.success)}} else {${branch(operation.failure)}}`;
    }
  }
}

function showRequest(request: Request): string {
  switch (request.type) {
    case 'compact':
      return `compact ${request.revision}`;
    case 'grant':
      return `grant lease ${request.lease} for ${request.ttl} s`;
    case 'revoke':
    case 'keep-alive':
      return `${request.type} lease ${request.lease}`;
    default:
      return showOperation(request);
  }
}

export function showResult(result: Result): string {
  switch (result.type) {
    case 'range': {
      const shown = result.kvs.slice(0, SHOWN_KVS).map(showKv).join(' ') || 'nothing';
      return `${shown}${result.kvs.length > SHOWN_KVS ? ' …' : ''}, count ${result.count}${result.more ? ', more' : ''}`;
    }
    case 'put':
      return `done${result.prev === null ? '' : ` over ${showKv(result.prev)}`}`;
    case 'delete':
      return `${result.deleted} deleted${result.prevs.length === 0 ? '' : `: ${result.prevs.map(showKv).join(' ')}`}`;
    case 'txn':
      return `${result.succeeded ? 'then' : 'else'} {${result.results.map(showResult).join('; ')}}`;
    case 'compact':
    case 'revoke':
      return 'done';
    case 'grant':
    case 'keep-alive':
      return `${result.ttl} s`;
  }
}

export function showCall({ client, request, startedAt, endedAt, outcome }: RecordedCall): string {
  const asked = `client ${client} [${startedAt.toFixed(2)}, ${endedAt.toFixed(2)}] ${showRequest(request)}`;
  switch (outcome.type) {
    case 'done':
      return `${asked} → ${outcome.revision}: ${showResult(outcome.result)}`;
    case 'refused':
      return `${asked} → refused: ${outcome.code} ${outcome.text}`;
    case 'unknown':
      return `${asked} → unknown: ${outcome.text || 'the connection was lost'}`;
  }
}

export function showWatch({ name, key, end, startRevision, prevKv, noPut, noDelete }: RecordedWatch): string {
  const filters = `${prevKv ? ' prev_kv' : ''}${noPut ? ' no puts' : ''}${noDelete ? ' no deletions' : ''}`;
  return `${name}: ${showRange({ key, end })} from ${startRevision === 0n ? 'now' : startRevision}${filters}`;
}

export function showMessage(message: WatchMessage): string {
  switch (message.type) {
    case 'created':
      return `created under ${message.revision}`;
    case 'events':
      return `under ${message.revision}: ${message.changes.map(showChange).join(', ')}${message.isFragment ? ' (to be continued)' : ''}`;
    case 'progress':
      return `progress ${message.revision}`;
    case 'canceled':
      return `canceled${message.compactRevision === 0n ? '' : `, compacted at ${message.compactRevision}`} ${message.reason}`;
    case 'broken':
      return `broken with ${message.code} ${message.text}`;
  }
}

import { decodeKeyValue, EmptyKeyError, singleKey, type Store } from '@harikube/keyspace';
import { decodeCandidate, decodeUnlockRequest, encodeLockResponse } from '../../codec/concurrency.js';
import type { ResponseHeaderWriter } from '../../codec/response-header.js';
import type { CallContext, RouteTable } from '../../transport/grpc-server.js';
import type { Reply } from '../../wire/reply.js';
import { WireReader } from '../../wire/wire-reader.js';
import { asClient, refusal } from './concurrency-error.js';
import { findKey, linePrefix, placeKey, putOf, sessionLease, takePlace, waitForTurn } from './waiting-line.js';

/** `v3lockpb.Lock`: what etcd's server/etcdserver/api/v3lock (v3.6) does. */
export class LockService {
  constructor(
    private readonly store: Store,
    private readonly header: () => ResponseHeaderWriter,
    /** Whoever waits in line is sent away when it aborts, with its reason. */
    private readonly closing: AbortSignal,
  ) {}

  routes(): RouteTable {
    return {
      '/v3lockpb.Lock/Lock': { kind: 'unary', cancellable: true, handle: (message, call) => asClient(this.lock(message, call)) },
      '/v3lockpb.Lock/Unlock': { kind: 'unary', cancellable: false, handle: (message) => asClient(this.unlock(message)) },
    };
  }

  private async lock(message: Buffer, call: CallContext): Promise<Reply> {
    const signal = AbortSignal.any([call.signal, this.closing]);
    const { name, lease } = decodeCandidate(new WireReader(message));
    const { store } = this;
    const prefix = linePrefix(name);
    const session = await sessionLease(store, lease);
    const key = placeKey(prefix, session);
    const { revision, mine, first } = await takePlace(store, prefix, putOf(key, NO_BYTES, session));
    const createRevision = mine === null ? revision : decodeKeyValue(mine).createRevision;
    if (first === null || decodeKeyValue(first).createRevision === createRevision) return encodeLockResponse(this.header(), revision, key);
    try {
      await waitForTurn(store, prefix, createRevision - 1n, signal);
    } catch (error) {
      // Nobody waits here any more: whoever stands behind must not wait for the lease to end.
      await this.remove(key);
      throw error;
    }
    const held = await findKey(store, key);
    if (held.record === null) throw refusal('mutex: session is expired');
    return encodeLockResponse(this.header(), held.revision, key);
  }

  private async unlock(message: Buffer): Promise<Reply> {
    const key = decodeUnlockRequest(new WireReader(message));
    if (key.length === 0) throw new EmptyKeyError();
    return this.header().frame(await this.remove(key));
  }

  private async remove(key: Buffer): Promise<bigint> {
    return (await this.store.deleteRange({ type: 'delete', range: singleKey(key), prevKv: false })).revision;
  }
}

const NO_BYTES = Buffer.alloc(0);

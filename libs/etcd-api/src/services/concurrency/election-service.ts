import { decodeKeyValue, prefixRange, singleKey, type KeyValueBytes, type Store } from '@harikube/keyspace';
import {
  decodeCandidate,
  decodeEvent,
  decodeLeaderMessage,
  encodeCampaignResponse,
  encodeLeaderResponse,
  type LeaderKeyMessage,
} from '../../codec/concurrency.js';
import type { ResponseHeaderWriter } from '../../codec/response-header.js';
import type { CallContext, RouteTable, StreamCall, StreamHandler } from '../../transport/grpc-server.js';
import type { Reply } from '../../wire/reply.js';
import { WireReader } from '../../wire/wire-reader.js';
import { asClient, refusal } from './concurrency-error.js';
import { StoreWatch } from './store-watch.js';
import {
  createdAt,
  findFirst,
  linePrefix,
  placeKey,
  putOf,
  removeOf,
  sessionLease,
  takePlace,
  waitForTurn,
  type Place,
} from './waiting-line.js';

/** `v3electionpb.Election`: what etcd's server/etcdserver/api/v3election (v3.6) does. */
export class ElectionService {
  constructor(
    private readonly store: Store,
    private readonly header: () => ResponseHeaderWriter,
    /** Whoever waits in line is sent away when it aborts, with its reason. */
    private readonly closing: AbortSignal,
  ) {}

  routes(): RouteTable {
    return {
      '/v3electionpb.Election/Campaign': {
        kind: 'unary',
        cancellable: true,
        handle: (message, call) => asClient(this.campaign(message, call)),
      },
      '/v3electionpb.Election/Proclaim': { kind: 'unary', cancellable: false, handle: (message) => asClient(this.proclaim(message)) },
      '/v3electionpb.Election/Leader': { kind: 'unary', cancellable: true, handle: (message) => asClient(this.leader(message)) },
      '/v3electionpb.Election/Resign': { kind: 'unary', cancellable: false, handle: (message) => asClient(this.resign(message)) },
      '/v3electionpb.Election/Observe': { kind: 'stream', type: 'server_stream', open: (call) => this.observe(call) },
    };
  }

  private async campaign(message: Buffer, call: CallContext): Promise<Reply> {
    const signal = AbortSignal.any([call.signal, this.closing]);
    const { name, lease, value } = decodeCandidate(new WireReader(message));
    const { store } = this;
    const prefix = linePrefix(name);
    const session = await sessionLease(store, lease);
    const key = placeKey(prefix, session);
    const { revision, mine } = await takePlace(store, prefix, putOf(key, value, session));
    const held = mine === null ? null : decodeKeyValue(mine);
    const place: Place = { key, createRevision: held === null ? revision : held.createRevision };
    if (held !== null && !held.value.equals(value)) await this.proclaimAt(place, value, session);
    try {
      await waitForTurn(store, prefix, place.createRevision - 1n, signal);
    } catch (error) {
      if (signal.aborted) await this.resignFrom(place);
      throw error;
    }
    return encodeCampaignResponse(this.header(), revision, { name, key, revision: place.createRevision, lease: session });
  }

  private async proclaim(message: Buffer): Promise<Reply> {
    const { leader, value } = decodeLeaderMessage(new WireReader(message));
    const { key, revision, lease } = present(leader);
    const session = await sessionLease(this.store, lease);
    return this.header().frame(await this.proclaimAt({ key, createRevision: revision }, value, session));
  }

  private async leader(message: Buffer): Promise<Reply> {
    const { name } = decodeCandidate(new WireReader(message));
    const { record, revision } = await findFirst(this.store, linePrefix(name));
    if (record === null) throw refusal('election: no leader');
    return encodeLeaderResponse(this.header(), revision, record);
  }

  private async resign(message: Buffer): Promise<Reply> {
    const { key, revision } = present(decodeLeaderMessage(new WireReader(message)).leader);
    return this.header().frame(await this.resignFrom({ key, createRevision: revision }));
  }

  private async proclaimAt({ key, createRevision }: Place, value: Buffer, lease: bigint): Promise<bigint> {
    const { succeeded, revision } = await this.store.txn(createdAt(key, createRevision, [putOf(key, value, lease)]));
    if (!succeeded) throw refusal('election: not leader');
    return revision;
  }

  private async resignFrom({ key, createRevision }: Place): Promise<bigint> {
    return (await this.store.txn(createdAt(key, createRevision, [removeOf(key)]))).revision;
  }

  private observe(call: StreamCall): StreamHandler {
    let isStarted = false;
    return {
      message: (message) => {
        if (isStarted) return;
        isStarted = true;
        const { name } = decodeCandidate(new WireReader(message));
        this.follow(linePrefix(name), call).catch((error: unknown) => call.fail(error));
      },
      halfClosed: () => {
        if (!isStarted) call.end();
      },
      drained: () => {},
      closed: () => {},
    };
  }

  /** Tells the leader, whatever it proclaims, and whoever leads after it, until the client goes away. */
  private async follow(prefix: Buffer, call: StreamCall): Promise<void> {
    for (;;) {
      const found = await findFirst(this.store, prefix);
      const leader =
        found.record === null
          ? await this.nextPut(prefix, found.revision, call.signal)
          : { revision: found.revision, record: found.record };
      call.send(encodeLeaderResponse(this.header(), leader.revision, leader.record));
      await this.followKey(decodeKeyValue(leader.record).key, leader.revision, call);
    }
  }

  private async nextPut(
    prefix: Buffer,
    revision: bigint,
    signal: AbortSignal,
  ): Promise<{ readonly revision: bigint; readonly record: KeyValueBytes }> {
    const watch = new StoreWatch(this.store, prefixRange(prefix), revision, signal);
    try {
      for (;;) {
        for (const event of await watch.next()) {
          const { isDelete, record } = decodeEvent(new WireReader(event));
          if (!isDelete) return { revision: decodeKeyValue(record).modRevision, record };
        }
      }
    } finally {
      watch.close();
    }
  }

  /** Tells every value of the key until it is deleted. */
  private async followKey(key: Buffer, revision: bigint, call: StreamCall): Promise<void> {
    const watch = new StoreWatch(this.store, singleKey(key), revision + 1n, call.signal);
    try {
      for (;;) {
        for (const event of await watch.next()) {
          const { isDelete, record } = decodeEvent(new WireReader(event));
          if (isDelete) return;
          call.send(encodeLeaderResponse(this.header(), decodeKeyValue(record).modRevision, record));
          if (!(await call.flushed())) return;
        }
      }
    } finally {
      watch.close();
    }
  }
}

function present(leader: LeaderKeyMessage | null): LeaderKeyMessage {
  if (leader === null) throw refusal('"leader" field must be provided');
  return leader;
}

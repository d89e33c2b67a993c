import { UnsupportedError, type Store } from '@harikube/keyspace';
import {
  decodeLeaseGrantRequest,
  decodeLeaseId,
  decodeLeaseTimeToLiveRequest,
  encodeLeaseGrantResponse,
  encodeLeaseKeepAliveResponse,
  encodeLeaseLeasesResponse,
  encodeLeaseTimeToLiveResponse,
} from '../codec/lease.js';
import type { ResponseHeaderWriter } from '../codec/response-header.js';
import { checkLeaseGrant } from '../requests.js';
import type { RouteTable, StreamCall, StreamHandler } from '../transport/grpc-server.js';
import type { Reply } from '../wire/reply.js';
import { WireReader } from '../wire/wire-reader.js';

/** `etcdserverpb.Lease`. */
export class LeaseService {
  constructor(
    private readonly store: Store,
    private readonly header: () => ResponseHeaderWriter,
  ) {}

  routes(): RouteTable {
    return {
      '/etcdserverpb.Lease/LeaseGrant': { kind: 'unary', cancellable: false, handle: (message) => this.grant(message) },
      '/etcdserverpb.Lease/LeaseRevoke': { kind: 'unary', cancellable: false, handle: (message) => this.revoke(message) },
      '/etcdserverpb.Lease/LeaseKeepAlive': {
        kind: 'stream',
        type: 'bidi_stream',
        open: (call) => new KeepAliveCall(this.store, this.header(), call),
      },
      '/etcdserverpb.Lease/LeaseTimeToLive': { kind: 'unary', cancellable: true, handle: (message) => this.timeToLive(message) },
      '/etcdserverpb.Lease/LeaseLeases': { kind: 'unary', cancellable: true, handle: () => this.leases() },
    };
  }

  private async grant(message: Buffer): Promise<Reply> {
    const request = decodeLeaseGrantRequest(new WireReader(message));
    checkLeaseGrant(request);
    return encodeLeaseGrantResponse(this.header(), await this.store.grantLease(request.ttl, request.id));
  }

  private async revoke(message: Buffer): Promise<Reply> {
    const id = decodeLeaseId(new WireReader(message));
    return this.header().frame(await this.store.revokeLease(id));
  }

  private async timeToLive(message: Buffer): Promise<Reply> {
    const { id, keys } = decodeLeaseTimeToLiveRequest(new WireReader(message));
    const life = await this.store.leaseLife(id, keys);
    return encodeLeaseTimeToLiveResponse(this.header(), this.store.status().revision, id, life);
  }

  private async leases(): Promise<Reply> {
    return encodeLeaseLeasesResponse(this.header(), this.store.status().revision, this.store.leases());
  }
}

/** Keep-alives that may wait for the store; a client sends one a third of a TTL, so more than this is no client. */
const MAX_WAITING = 10_000;

/** Answers keep-alives one after another, in the order they came. */
class KeepAliveCall implements StreamHandler {
  private readonly waiting: bigint[] = [];
  private isRunning = false;
  private isHalfClosed = false;

  constructor(
    private readonly store: Store,
    private readonly header: ResponseHeaderWriter,
    private readonly call: StreamCall,
  ) {}

  message(bytes: Buffer): void {
    if (this.waiting.length >= MAX_WAITING) throw new UnsupportedError(`a stream with more than ${MAX_WAITING} unanswered keep-alives`);
    this.waiting.push(decodeLeaseId(new WireReader(bytes)));
    if (!this.isRunning) void this.run();
  }

  halfClosed(): void {
    this.isHalfClosed = true;
    if (!this.isRunning) this.call.end();
  }

  drained(): void {}

  closed(): void {
    this.waiting.length = 0;
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    try {
      for (let id = this.waiting.shift(); id !== undefined; id = this.waiting.shift()) {
        const ttl = await this.store.keepAliveLease(id);
        this.call.send(encodeLeaseKeepAliveResponse(this.header, this.store.status().revision, id, ttl));
        if (!(await this.call.flushed())) return;
      }
      if (this.isHalfClosed) this.call.end();
    } catch (error) {
      this.call.fail(error);
    } finally {
      this.isRunning = false;
    }
  }
}

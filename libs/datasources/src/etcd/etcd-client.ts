import { readFileSync } from 'node:fs';
import { checkServerIdentity, type ConnectionOptions } from 'node:tls';
import type { KeyValue } from '@harikube/keyspace';
import { addressText, type EtcdAddress, type EtcdEndpoint, etcdLocation } from '../topology/endpoints/etcd.js';
import type { BackendTls } from '../topology/topology.js';
import * as messages from './etcd-messages.js';
import {
  type AlarmReply,
  EMPTY_MESSAGE,
  type Encodable,
  type LeaseReply,
  type RangeCall,
  type RangeReply,
  type StatusReply,
  type TxnCall,
  type TxnReply,
} from './etcd-messages.js';
import { GrpcCode, MemberCallError, MemberConnection } from './member-connection.js';

/** A call that etcd did not answer well. */
export class EtcdCallError extends Error {
  override readonly name = 'EtcdCallError';
  constructor(
    message: string,
    /** gRPC's code. */
    readonly code: number,
    /** Whatever the call was to change has not changed, and will not. */
    readonly isCertain: boolean,
    /** The revision asked for is compacted. */
    readonly isCompacted = false,
  ) {
    super(message);
  }
}

export interface EtcdClientOptions {
  readonly endpoint: EtcdEndpoint;
  readonly tls: BackendTls | null;
  /** A call that takes longer has failed; its connection takes no others. */
  readonly requestTimeoutMs: number;
}

type Method =
  | 'KV/Range'
  | 'KV/Txn'
  | 'KV/Compact'
  | 'Maintenance/Status'
  | 'Maintenance/Alarm'
  | 'Cluster/MemberList'
  | 'Auth/Authenticate'
  | 'Lease/LeaseGrant'
  | 'Lease/LeaseRevoke'
  | 'Lease/LeaseTimeToLive'
  | 'Lease/LeaseLeases';

/** Answered with one of these, a call has changed nothing. */
const CERTAIN_CODES: readonly number[] = [
  GrpcCode.invalidArgument,
  GrpcCode.notFound,
  GrpcCode.alreadyExists,
  GrpcCode.permissionDenied,
  GrpcCode.resourceExhausted,
  GrpcCode.failedPrecondition,
  GrpcCode.outOfRange,
  GrpcCode.unimplemented,
  GrpcCode.unauthenticated,
];
const COMPACTED = 'mvcc: required revision has been compacted';
/** A token that has ended, or was given before the users changed. */
const STALE_TOKEN = /invalid auth token|revision of auth store is old/;

/** A client of one etcd cluster. Reads go to another member when one fails; whatever changes something is sent once. */
export class EtcdClient {
  readonly location: string;
  readonly #connections: (MemberConnection | null)[];
  #options: EtcdClientOptions;
  #current = 0;
  #token: Promise<string> | null = null;
  #isClosed = false;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
    this.#connections = options.endpoint.addresses.map(() => null);
    this.location = etcdLocation(options.endpoint);
  }

  get addresses(): readonly EtcdAddress[] {
    return this.#options.endpoint.addresses;
  }

  /** Other options for the same members; connections are made anew, behind what is under way. */
  configure(options: EtcdClientOptions): void {
    this.#options = options;
    this.#token = null;
    for (const connection of this.#connections) connection?.end();
    this.#connections.length = 0;
    this.#connections.push(...options.endpoint.addresses.map(() => null));
    this.#current = 0;
  }

  async range(call: RangeCall): Promise<RangeReply> {
    return messages.decodeRange(await this.#read('KV/Range', messages.encodeRange(call)));
  }

  /** Ranges in one snapshot. */
  async ranges(calls: readonly RangeCall[]): Promise<TxnReply> {
    const txn = { compares: [], success: calls.map(messages.rangeOp), failure: [] };
    return messages.decodeTxn(await this.#read('KV/Txn', messages.encodeTxn(txn)));
  }

  /**
   * Single keys, as they stand at a local revision (0: latest); undefined where there is none. With the store's revision at the
   * last of the reads that it takes, each of which is of one snapshot.
   */
  async keys(
    keys: readonly Buffer[],
    revision = 0n,
  ): Promise<{ readonly revision: bigint; readonly kvs: readonly (KeyValue | undefined)[] }> {
    const { maxTxnOps } = this.#options.endpoint;
    const kvs: (KeyValue | undefined)[] = [];
    let seen = 0n;
    for (let at = 0; at < keys.length; at += maxTxnOps) {
      const reply = await this.ranges(keys.slice(at, at + maxTxnOps).map((start) => ({ start, end: null, revision })));
      seen = reply.revision;
      for (const range of reply.ranges) kvs.push(range.kvs[0]);
    }
    return { revision: seen, kvs };
  }

  async txn(call: TxnCall): Promise<TxnReply> {
    return messages.decodeTxn(await this.#write('KV/Txn', messages.encodeTxn(call)));
  }

  async compact(revision: bigint): Promise<void> {
    await this.#write('KV/Compact', messages.encodeCompaction(revision));
  }

  /** Of one member, or of whichever answers. */
  async status(index?: number): Promise<StatusReply> {
    const answer =
      index === undefined ? this.#read('Maintenance/Status', EMPTY_MESSAGE) : this.#call(index, 'Maintenance/Status', EMPTY_MESSAGE);
    return messages.decodeStatus(await answer);
  }

  async alarms(): Promise<AlarmReply> {
    return messages.decodeAlarms(await this.#read('Maintenance/Alarm', EMPTY_MESSAGE));
  }

  /** The names of the members. */
  async memberNames(): Promise<readonly string[]> {
    return messages.decodeMemberNames(await this.#read('Cluster/MemberList', EMPTY_MESSAGE));
  }

  async leases(): Promise<readonly bigint[]> {
    return messages.decodeLeaseIds(await this.#read('Lease/LeaseLeases', EMPTY_MESSAGE));
  }

  async lease(id: bigint): Promise<LeaseReply> {
    return messages.decodeLease(await this.#read('Lease/LeaseTimeToLive', messages.encodeLease(id, true)));
  }

  async grantLease(id: bigint, ttl: bigint): Promise<void> {
    await this.#write('Lease/LeaseGrant', messages.encodeLeaseGrant(id, ttl));
  }

  async revokeLease(id: bigint): Promise<void> {
    await this.#write('Lease/LeaseRevoke', messages.encodeLease(id, false));
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#connections) connection?.destroy();
  }

  /** May be sent again: to the other members, too, as long as there is time. */
  async #read(method: Method, request: Encodable): Promise<Buffer> {
    const deadline = performance.now() + this.#options.requestTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#call(this.#current, method, request, deadline);
      } catch (error) {
        const isOver = attempt >= this.addresses.length || performance.now() >= deadline;
        if (isOver || !(error instanceof EtcdCallError) || !isAboutMember(error)) throw error;
      }
    }
  }

  /** Sent to another member only as long as it has certainly not left. */
  async #write(method: Method, request: Encodable): Promise<Buffer> {
    const deadline = performance.now() + this.#options.requestTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#call(this.#current, method, request, deadline);
      } catch (error) {
        const isOver = attempt >= this.addresses.length || performance.now() >= deadline;
        if (isOver || !(error instanceof EtcdCallError) || !error.isCertain || !isAboutMember(error)) throw error;
      }
    }
  }

  async #call(
    index: number,
    method: Method,
    request: Encodable,
    deadline = performance.now() + this.#options.requestTimeoutMs,
  ): Promise<Buffer> {
    const token = await this.#tokenAt(index, deadline);
    try {
      return await this.#send(index, method, request, deadline, token);
    } catch (error) {
      if (token === null || !(error instanceof EtcdCallError) || !STALE_TOKEN.test(error.message)) throw error;
      this.#token = null;
      return this.#send(index, method, request, deadline, await this.#tokenAt(index, deadline));
    }
  }

  #tokenAt(index: number, deadline: number): Promise<string> | null {
    const { user, password } = this.#options.endpoint;
    if (user === null || password === null) return null;
    if (this.#token === null) {
      const token = this.#send(index, 'Auth/Authenticate', messages.encodeAuthenticate(user, password), deadline, null).then(
        messages.decodeToken,
      );
      token.catch(() => (this.#token = null));
      this.#token = token;
    }
    return this.#token;
  }

  async #send(index: number, method: Method, request: Encodable, deadline: number, token: string | null): Promise<Buffer> {
    const connection = this.#connectionTo(index);
    try {
      return await connection.call(`/etcdserverpb.${method}`, request, deadline, token);
    } catch (error) {
      if (!(error instanceof MemberCallError)) throw error;
      const told = this.#errorOf(error, index);
      if (isAboutMember(told)) this.#leaveMember(index, connection, told.code === GrpcCode.deadlineExceeded);
      throw told;
    }
  }

  #errorOf({ code, message, wasSent }: MemberCallError, index: number): EtcdCallError {
    const address = this.addresses[index];
    const where = address === undefined ? this.location : addressText(address);
    const isCertain = CERTAIN_CODES.includes(code) || !wasSent;
    const isCompacted = message.includes(COMPACTED);
    const what =
      code === GrpcCode.deadlineExceeded
        ? `no answer within ${this.#options.requestTimeoutMs} ms`
        : isCompacted
          ? `${COMPACTED}, by somebody else: leave that to the router, without --auto-compaction-retention`
          : message;
    return new EtcdCallError(`etcd ${where}: ${what}`, code, isCertain, isCompacted);
  }

  /** The next calls go to the next member. A connection on which an answer is overdue is of no use to anybody. */
  #leaveMember(index: number, connection: MemberConnection, isSilent: boolean): void {
    if (isSilent) connection.end();
    if (this.#current === index) this.#current = (index + 1) % this.addresses.length;
  }

  #connectionTo(index: number): MemberConnection {
    if (this.#isClosed) throw new EtcdCallError(`etcd ${this.location} is not open`, GrpcCode.unavailable, true);
    const existing = this.#connections[index];
    if (existing?.isUsable === true) return existing;
    const address = this.addresses[index];
    if (address === undefined) throw new EtcdCallError(`etcd ${this.location} has no member ${index}`, GrpcCode.unavailable, true);
    const connection = new MemberConnection(address, this.#tlsFor(address.host));
    this.#connections[index] = connection;
    return connection;
  }

  /** The files are read with each connection that is made anew, so that renewed ones are taken up. */
  #tlsFor(host: string): ConnectionOptions | null {
    const { endpoint, tls } = this.#options;
    if (endpoint.scheme === 'http') return null;
    const file = (path: string | null | undefined): Buffer | undefined =>
      path === null || path === undefined ? undefined : readFileSync(path);
    const [ca, key, cert] = [file(tls?.caFile), file(tls?.keyFile), file(tls?.certFile)];
    const rejectUnauthorized = tls?.skipVerify !== true;
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(key === undefined ? {} : { key }),
      ...(cert === undefined ? {} : { cert }),
      rejectUnauthorized,
      // For an address, too: TLS names none.
      checkServerIdentity: (_, certificate) => (rejectUnauthorized ? checkServerIdentity(host, certificate) : undefined),
    };
  }
}

/** Another member may answer. */
function isAboutMember({ code }: EtcdCallError): boolean {
  return code === GrpcCode.unavailable || code === GrpcCode.deadlineExceeded || code === GrpcCode.cancelled;
}

import { StoppedError, type Store } from '@harikube/keyspace';
import { ResponseHeaderWriter } from './codec/response-header.js';
import { toGrpcError } from './etcd-status.js';
import { warmUpLists } from './list-warm-up.js';
import { authRoutes } from './services/auth-service.js';
import { ClusterService } from './services/cluster-service.js';
import { ElectionService } from './services/concurrency/election-service.js';
import { LockService } from './services/concurrency/lock-service.js';
import { HealthService } from './services/health-service.js';
import { etcdPages } from './services/http-pages.js';
import { KvService } from './services/kv-service.js';
import { LeaseService } from './services/lease-service.js';
import { MaintenanceService } from './services/maintenance-service.js';
import { WatchService } from './services/watch-service.js';
import type { CallObserver } from './transport/grpc-server.js';
import { Http2GrpcServer, type TlsMaterial } from './transport/http2-grpc-server.js';
import type { SocketListener } from './transport/socket-listener.js';
import type { GrpcError } from './wire/grpc-status.js';

export interface EtcdServerOptions {
  /**
   * `host:port`, `tcp://`, `http://` or `https://host:port`, `unix://path`, `unixs://path`; or a listener on such addresses, of which the
   * server takes charge at its start.
   */
  readonly addresses: readonly string[] | SocketListener;
  /** Addresses without a scheme, and `tcp://`, use it when it is there. */
  readonly tls?: TlsMaterial | undefined;
  /** What MemberList tells clients to dial; default: the addresses listened on. */
  readonly advertisedClientUrls?: readonly string[] | undefined;
  readonly memberName?: string | undefined;
  /** The etcd version that Status tells. */
  readonly emulatedVersion?: string | undefined;
  readonly observer?: CallObserver | undefined;
  /** Is told of every error that no client can make sense of; its `cause` says what happened. */
  readonly onInternalError?: ((error: GrpcError) => void) | undefined;
  /** Bytes that may wait for one watch stream's client. */
  readonly streamBufferBytes?: number | undefined;
  /** How long `close` waits for the calls under way. */
  readonly closeGraceMs?: number | undefined;
}

const RAFT_TERM = 1n;
const DEFAULT_VERSION = '3.6.8';
const DEFAULT_CLOSE_GRACE_MS = 5000;

/** The etcd v3 API over a store: every service on every address. */
export class EtcdServer {
  readonly health = new HealthService();
  private readonly server: Http2GrpcServer;
  private headerWriter: ResponseHeaderWriter | null = null;
  private boundAddresses: readonly string[] = [];
  private readonly closing = new AbortController();

  constructor(
    private readonly store: Store,
    private readonly options: EtcdServerOptions,
  ) {
    const header = (): ResponseHeaderWriter => this.header();
    this.server = new Http2GrpcServer({
      addresses: options.addresses,
      tls: options.tls,
      routes: {
        ...new KvService(store, header).routes(),
        ...new WatchService(store, header).routes(),
        ...new LeaseService(store, header).routes(),
        ...new MaintenanceService(store, header, options.emulatedVersion ?? DEFAULT_VERSION).routes(),
        ...new LockService(store, header, this.closing.signal).routes(),
        ...new ElectionService(store, header, this.closing.signal).routes(),
        ...new ClusterService(header, () => this.member()).routes(),
        ...authRoutes(),
        ...this.health.routes(),
      },
      pages: etcdPages(store, () => this.health.isServing, options.emulatedVersion ?? DEFAULT_VERSION),
      toGrpcError: (error) => toGrpcError(error, options.onInternalError),
      observer: options.observer,
      streamBufferBytes: options.streamBufferBytes,
    });
  }

  /** The addresses listened on, as a client writes them; empty before `start`. */
  get addresses(): readonly string[] {
    return this.boundAddresses;
  }

  /** Resolves when every address accepts connections. */
  async start(): Promise<void> {
    this.boundAddresses = await this.server.listen();
  }

  /** Makes the first lists as quick as those that follow; beside whatever is served meanwhile, for a quarter of a second. Never rejects. */
  warmUp(): Promise<void> {
    return warmUpLists(this.store, () => this.header(), this.closing.signal);
  }

  /** Uses other certificates for the connections to come. */
  setTls(tls: TlsMaterial): void {
    this.server.setTls(tls);
  }

  /** Stops accepting, ends watches so that clients resume elsewhere, lets unary calls finish within the grace. Always resolves. */
  async close(): Promise<void> {
    this.health.setServing(false);
    this.closing.abort(new StoppedError());
    await this.server.close(this.options.closeGraceMs ?? DEFAULT_CLOSE_GRACE_MS, new StoppedError());
  }

  /** Made at the first call: a store knows its identity once it is open. */
  private header(): ResponseHeaderWriter {
    if (this.headerWriter === null) {
      const { clusterId, memberId } = this.store.status();
      this.headerWriter = new ResponseHeaderWriter({ clusterId, memberId, raftTerm: RAFT_TERM });
    }
    return this.headerWriter;
  }

  private member() {
    const clientUrls = this.options.advertisedClientUrls ?? this.boundAddresses;
    return { name: this.options.memberName ?? 'harikube', peerUrls: clientUrls.slice(0, 1), clientUrls };
  }
}

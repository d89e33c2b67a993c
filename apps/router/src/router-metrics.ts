import { type CallObserver, type EndReason, GrpcCode, type MethodName } from '@harikube/etcd-api';
import type { BackendStatus, Keyspace, KeyspaceObserver } from '@harikube/keyspace';
import { Counter, createMetrics, Gauge, Histogram, type Registry, STATEMENT_SECONDS_BUCKETS } from '@harikube/platform';

const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const GRPC_LABELS = ['grpc_type', 'grpc_service', 'grpc_method'] as const;

/** A number of one backend, read when the page is. */
interface BackendGauge {
  readonly name: string;
  readonly help: string;
  readonly value: (status: BackendStatus) => number;
}

const BACKEND_GAUGES: readonly BackendGauge[] = [
  { name: 'up', help: '1 when the backend is open', value: ({ isReady }) => (isReady ? 1 : 0) },
  {
    name: 'horizon_lag_revisions',
    help: 'Revisions handed out that are not settled in the backend yet',
    value: ({ horizonLag }) => Number(horizonLag),
  },
  { name: 'pending_batches', help: 'Batches being committed', value: ({ hasPending }) => (hasPending ? 1 : 0) },
  { name: 'queued_writes', help: 'Transactions that wait for the next commit', value: ({ queued }) => queued },
  { name: 'watchers', help: 'Watches that read the backend', value: ({ watches }) => watches },
  { name: 'synced_watchers', help: 'Watches that have got every settled event', value: ({ syncedWatches }) => syncedWatches },
  {
    name: 'ring_coverage_revisions',
    help: 'Revisions that the ring of recent events reaches back',
    value: ({ ringCoverage }) => Number(ringCoverage),
  },
  { name: 'ring_bytes', help: 'Memory of the ring of recent events', value: ({ ringBytes }) => ringBytes },
  { name: 'cache_bytes', help: 'Memory of the cache of key heads', value: ({ cacheBytes }) => cacheBytes },
  { name: 'cache_hits_total', help: 'Heads found in the cache', value: ({ cacheHits }) => cacheHits },
  { name: 'cache_misses_total', help: 'Heads not found in the cache', value: ({ cacheMisses }) => cacheMisses },
  { name: 'size_bytes', help: 'Size of the database', value: ({ sizeBytes }) => sizeBytes },
];

/** Calls of one method. Plain numbers, read when the page is: a labelled counter costs as much as a tenth of a call. */
interface MethodCalls {
  started: number;
  readonly handled: Map<GrpcCode, number>;
  received: number;
  sent: number;
}

/** Who writes, as this router knows it. */
export interface WriterReading {
  /** This router may write at this moment. */
  readonly isActive: boolean;
  /** Of the writer; 0: not known yet. */
  readonly epoch: bigint;
  /** How often this router took over from another one. */
  readonly takeovers: number;
  /** Connections that go to the active router. */
  readonly forwarded: number;
}

/** What /metrics of the router shows. Names of the reference are kept where it has them: `kine_*` and `grpc_server_*`. */
export class RouterMetrics implements CallObserver, KeyspaceObserver {
  readonly registry: Registry = createMetrics();
  readonly #calls = new Map<MethodName, MethodCalls>();
  readonly #compactions = this.#counter('kine_compact_total', 'Compactions of a backend', ['result', 'backend']);
  readonly #endedConnections = this.#counter(
    'harikube_connections_ended_total',
    'Connections of clients that were ended for what they did or did not do',
    ['reason'],
  );
  readonly #commitCount = this.#counter('kine_sql_total', 'Commits of a backend', ['error_code', 'name', 'backend']);
  readonly #commitSeconds = new Histogram({
    name: 'kine_sql_time_seconds',
    help: 'Time of a commit, from handing it over to its durability',
    labelNames: ['error_code', 'name', 'backend'],
    buckets: [...STATEMENT_SECONDS_BUCKETS],
    registers: [this.registry],
  });
  readonly #batchRows = new Histogram({
    name: 'harikube_backend_batch_rows',
    help: 'Rows of a commit',
    labelNames: ['backend'],
    buckets: BATCH_BUCKETS,
    registers: [this.registry],
  });

  constructor() {
    this.#callCounter('grpc_server_started_total', 'Calls started', (calls) => calls.started);
    this.#callCounter('grpc_server_msg_received_total', 'Messages received', (calls) => calls.received);
    this.#callCounter('grpc_server_msg_sent_total', 'Messages sent', (calls) => calls.sent);
    const calls = this.#calls;
    new Counter({
      name: 'grpc_server_handled_total',
      help: 'Calls completed',
      labelNames: [...GRPC_LABELS, 'grpc_code'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [method, { handled }] of calls) {
          for (const [code, count] of handled) this.inc({ ...labelsOf(method), grpc_code: codeName(code) }, count);
        }
      },
    });
  }

  /** Adds the numbers that are read from the store when the page is. */
  watch(keyspace: Keyspace): void {
    for (const { name, help, value } of BACKEND_GAUGES) {
      const read = (tell: (backend: string, number: number) => void): void => {
        for (const status of keyspace.backendStatus()) tell(status.name, value(status));
      };
      if (name.endsWith('_total')) this.#readCounter(`harikube_backend_${name}`, help, read);
      else this.#gauge(`harikube_backend_${name}`, help, ['backend'], (gauge) => read((backend, number) => gauge.set({ backend }, number)));
    }
    this.#gauge('harikube_revision', 'Highest revision told to anybody', [], (gauge) => gauge.set(Number(keyspace.status().revision)));
    this.#gauge('harikube_compact_revision', 'Reads below this revision are refused', [], (gauge) =>
      gauge.set(Number(keyspace.status().compactRevision)),
    );
    this.#gauge('harikube_leases', 'Leases on record', [], (gauge) => gauge.set(keyspace.leaseCount));
  }

  /** Adds the numbers of the writer. */
  watchWriter(read: () => WriterReading): void {
    this.#gauge('harikube_writer_active', '1 when this router may write', [], (gauge) => gauge.set(read().isActive ? 1 : 0));
    this.#gauge('harikube_writer_epoch', 'Number of the router that writes, counted by the default database', [], (gauge) =>
      gauge.set(Number(read().epoch)),
    );
    this.#gauge('harikube_standby_connections', 'Connections forwarded to the active router', [], (gauge) => gauge.set(read().forwarded));
    new Counter({
      name: 'harikube_writer_takeovers_total',
      help: 'Take-overs of this router from another one',
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read().takeovers);
      },
    });
  }

  started(method: MethodName): void {
    this.#of(method).started++;
  }

  handled(method: MethodName, code: GrpcCode): void {
    const { handled } = this.#of(method);
    handled.set(code, (handled.get(code) ?? 0) + 1);
  }

  messageReceived(method: MethodName): void {
    this.#of(method).received++;
  }

  messageSent(method: MethodName): void {
    this.#of(method).sent++;
  }

  connectionEnded(reason: EndReason): void {
    this.#endedConnections.inc({ reason });
  }

  committed(backend: string, seconds: number, rows: number): void {
    const labels = { error_code: '', name: 'commit', backend };
    this.#commitCount.inc(labels);
    this.#commitSeconds.observe(labels, seconds);
    this.#batchRows.observe({ backend }, rows);
  }

  commitFailed(backend: string, seconds: number): void {
    const labels = { error_code: 'failed', name: 'commit', backend };
    this.#commitCount.inc(labels);
    this.#commitSeconds.observe(labels, seconds);
  }

  compacted(backend: string, isDone: boolean): void {
    this.#compactions.inc({ result: isDone ? 'success' : 'failure', backend });
  }

  #of(method: MethodName): MethodCalls {
    let calls = this.#calls.get(method);
    if (calls === undefined) {
      calls = { started: 0, handled: new Map(), received: 0, sent: 0 };
      this.#calls.set(method, calls);
    }
    return calls;
  }

  #callCounter(name: string, help: string, value: (calls: MethodCalls) => number): void {
    const calls = this.#calls;
    new Counter({
      name,
      help,
      labelNames: [...GRPC_LABELS],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [method, counts] of calls) this.inc(labelsOf(method), value(counts));
      },
    });
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #readCounter(name: string, help: string, read: (tell: (backend: string, count: number) => void) => void): void {
    new Counter({
      name,
      help,
      labelNames: ['backend'],
      registers: [this.registry],
      collect() {
        this.reset();
        read((backend, count) => this.inc({ backend }, count));
      },
    });
  }

  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[], collect: (gauge: Gauge<L>) => void): void {
    new Gauge<L>({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect() {
        // Backends come and go with the topology.
        this.reset();
        collect(this);
      },
    });
  }
}

function labelsOf({ type, service, method }: MethodName): Record<(typeof GRPC_LABELS)[number], string> {
  return { grpc_type: type, grpc_service: service, grpc_method: method };
}

/** Named as grpc-go's middleware does. */
function codeName(code: GrpcCode): string {
  const name = Object.entries(GrpcCode).find(([, value]) => value === code)?.[0] ?? String(code);
  return name === 'Ok' ? 'OK' : name;
}

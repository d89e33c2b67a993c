import { createServer, type Server } from 'node:http';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { buffer, text } from 'node:stream/consumers';
import { type CollectedSpan, spansOfJson, spansOfProtobuf } from './otlp-spans.js';

/** Compressed or not, and the length of the message: what stands before each message of gRPC. */
const GRPC_PREFIX_BYTES = 5;

/** An OTLP receiver over HTTP and gRPC that keeps every span. */
export class TraceCollector {
  readonly spans: CollectedSpan[] = [];
  readonly #http: Server;
  readonly #grpc: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #waiting = new Set<() => void>();

  private constructor() {
    this.#http = createServer((request, response) => {
      void text(request).then((body) => {
        this.#add(spansOfJson(body));
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
    });
    this.#grpc = createHttp2Server();
    this.#grpc.on('session', (session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
    });
    this.#grpc.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => undefined); // Who sends may end at any time.
      void buffer(stream).then(
        (body) => {
          this.#add(spansOfProtobuf(body.subarray(GRPC_PREFIX_BYTES)));
          stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
          stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
          stream.end(Buffer.alloc(GRPC_PREFIX_BYTES));
        },
        () => undefined,
      );
    });
  }

  static async start(): Promise<TraceCollector> {
    const collector = new TraceCollector();
    for (const server of [collector.#http, collector.#grpc])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    return collector;
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.#http)}`;
  }

  /** For the `endpoint` of a TracingConfiguration, without TLS. */
  get grpcEndpoint(): string {
    return `127.0.0.1:${portOf(this.#grpc)}`;
  }

  /** Resolves to the spans as soon as they are as wanted; rejects with what there is after so long. */
  async until(holds: (spans: readonly CollectedSpan[]) => boolean, seconds = 120): Promise<readonly CollectedSpan[]> {
    const late = AbortSignal.timeout(seconds * 1000);
    while (!holds(this.spans)) {
      if (late.aborted) throw new Error(`these spans are all: ${this.spans.map(({ service, name }) => `${service}: ${name}`).join(', ')}`);
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        late.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.spans;
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
    await Promise.all([this.#http, this.#grpc].map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #add(spans: readonly CollectedSpan[]): void {
    this.spans.push(...spans);
    for (const look of this.#waiting) look();
    this.#waiting.clear();
  }
}

function portOf(server: Server | Http2Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the collector does not listen');
  return address.port;
}

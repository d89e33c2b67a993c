import { createServer, type IncomingMessage, type Server } from 'node:http';
import { text } from 'node:stream/consumers';

/** A span as OTLP's JSON has it, with the name of the service that sent it. */
export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: unknown }[];
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[] };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<CollectedSpan, 'service'>[] }[];
  }[];
}

/** An OTLP receiver over HTTP that keeps every span. */
export class TraceCollector {
  readonly spans: CollectedSpan[] = [];
  readonly #server: Server;
  readonly #waiting = new Set<() => void>();

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#take(request).then(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
    });
  }

  static async start(): Promise<TraceCollector> {
    const collector = new TraceCollector();
    await new Promise<void>((resolve) => collector.#server.listen(0, '127.0.0.1', resolve));
    return collector;
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the collector does not listen');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Resolves to the spans as soon as they are as wanted; rejects with what there is after so long. */
  async until(holds: (spans: readonly CollectedSpan[]) => boolean, seconds: number): Promise<readonly CollectedSpan[]> {
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
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request: IncomingMessage): Promise<void> {
    const { resourceSpans } = JSON.parse(await text(request)) as ExportRequest;
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => ({ ...span, service })));
    }
    for (const look of this.#waiting) look();
    this.#waiting.clear();
  }
}

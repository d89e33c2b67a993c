import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import { createLogger } from './logger.js';
import { validTraceparent } from './span.js';
import { currentTraceparent, startTracing, traced } from './tracing.js';

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const lines: string[] = [];
const logger = createLogger({ format: 'plain', debug: false, destination: { write: (line: string) => lines.push(line) } });

interface Exported {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

let server: Server | undefined;
let end: (() => Promise<void>) | undefined;

afterEach(async () => {
  await end?.();
  end = undefined;
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** A collector that keeps what it gets. */
async function collector(): Promise<{ url: string; spans: Exported[] }> {
  const spans: Exported[] = [];
  const listening = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: { scopeSpans: { spans: Exported[] }[] }[];
      };
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('it does not listen');
  return { url: `http://127.0.0.1:${address.port}`, spans };
}

describe('tracing', () => {
  it('hands a trace on and makes no span where no collector is named', async () => {
    end = await startTracing({ env: {}, service: 'test', logger });
    const seen = await traced({ name: 'ask', kind: 'client', parent: PARENT }, (span) =>
      Promise.resolve([span.traceparent, currentTraceparent()]),
    );
    expect(seen).toEqual([PARENT, undefined]);
  });

  it('sends spans within spans, each under its own parent, and of an error its name alone', async () => {
    const { url, spans } = await collector();
    end = await startTracing({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: url }, service: 'test', logger });
    const failing = traced({ name: 'outer', kind: 'server', parent: PARENT }, () =>
      traced({ name: 'inner', kind: 'client', isPart: true }, () => Promise.reject(new RangeError('canary'))),
    );
    await expect(failing).rejects.toThrow('canary');
    await end();
    end = undefined;
    const [inner, outer] = spans;
    expect(outer).toMatchObject({ name: 'outer', traceId: PARENT.slice(3, 35), parentSpanId: PARENT.slice(36, 52) });
    expect(inner).toMatchObject({ name: 'inner', traceId: outer?.traceId, parentSpanId: outer?.spanId, status: { code: 2 } });
    expect(JSON.stringify(spans)).not.toContain('canary');
  });

  it('links a span of another trace', async () => {
    const { url, spans } = await collector();
    end = await startTracing({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: url }, service: 'test', logger });
    const other = PARENT.replace('0af7', '1af7');
    for (const link of [other, 'none']) await traced({ name: 'linked', kind: 'server', parent: PARENT, link }, () => Promise.resolve());
    await end();
    end = undefined;
    expect(spans.map(({ traceId, links }) => [traceId, links.map((link) => [link.traceId, link.spanId])])).toEqual([
      [PARENT.slice(3, 35), [[other.slice(3, 35), other.slice(36, 52)]]],
      [PARENT.slice(3, 35), []],
    ]);
  });

  it('begins no trace for what is only ever a part of one, nor under a parent that is none', async () => {
    const { url, spans } = await collector();
    end = await startTracing({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: url }, service: 'test', logger });
    for (const parent of [undefined, 'yes', PARENT.replace('00-', 'ff-'), `${PARENT}\n`])
      await traced({ name: 'part', kind: 'client', parent, isPart: true }, () => Promise.resolve());
    await end();
    end = undefined;
    expect(spans).toEqual([]);
    expect(validTraceparent(`00-${'0'.repeat(32)}-b7ad6b7169203331-01`)).toBeUndefined();
  });

  it('samples as it is told to', async () => {
    const { url, spans } = await collector();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_TRACES_SAMPLER: 'parentbased_always_off' };
    end = await startTracing({ env, service: 'test', logger });
    await traced({ name: 'root', kind: 'server' }, () => Promise.resolve());
    await traced({ name: 'under a sampled parent', kind: 'server', parent: PARENT }, () => Promise.resolve());
    await end();
    end = undefined;
    expect(spans.map(({ name }) => name)).toEqual(['under a sampled parent']);
  });

  it('does its work though nobody takes the spans, and says once that they are lost', async () => {
    end = await startTracing({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_BSP_SCHEDULE_DELAY: '1', OTEL_EXPORTER_OTLP_TIMEOUT: '100' },
      service: 'test',
      logger,
    });
    const answers = await Promise.all(
      Array.from({ length: 5000 }, (_, index) => traced({ name: 'work', kind: 'internal' }, () => Promise.resolve(index))),
    );
    expect(answers.length).toBe(5000);
    await end();
    end = undefined;
    expect(lines.filter((line) => line.includes('spans are lost')).length).toBeLessThanOrEqual(1);
  });

  it('refuses settings that it cannot follow by name', async () => {
    const start = (env: Record<string, string>): Promise<unknown> => startTracing({ env, service: 'test', logger });
    await expect(start({ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' })).rejects.toThrow(/OTEL_EXPORTER_OTLP_ENDPOINT is not an address/);
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' };
    await expect(start({ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })).rejects.toThrow(
      /PROTOCOL=grpc is not usable; use http\/json/,
    );
    await expect(start({ ...endpoint, OTEL_TRACES_SAMPLER: 'some' })).rejects.toThrow(/OTEL_TRACES_SAMPLER=some is not usable/);
    await expect(start({ ...endpoint, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' })).rejects.toThrow(/ARG=2/);
  });
});

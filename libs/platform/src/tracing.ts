// Traces: spans made by hand where one process asks another. Off, they cost nothing: the SDK is loaded by `startTracing` alone, and only when a collector
// is named. One for the process, as OpenTelemetry has it, since whatever runs in it may be part of a trace.

import type { Env } from './env.js';
import { ConfigError } from './flags.js';
import { type Span, type SpanMaker, type SpanOptions, type TracingOptions, untracedSpan, validTraceparent } from './span.js';

let maker: SpanMaker | null = null;

/** Does the work within a span, which ends with it and fails when it rejects. */
export function traced<T>(options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
  if (maker === null) return work(untracedSpan(validTraceparent(options.parent)));
  return maker.run({ ...options, parent: validTraceparent(options.parent), link: validTraceparent(options.link) }, work);
}

/** W3C's `traceparent` of the span under way; undefined: there is none. */
export function currentTraceparent(): string | undefined {
  return maker?.current();
}

/**
 * Traces from now on when OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and neither OTEL_SDK_DISABLED=true nor
 * OTEL_TRACES_EXPORTER=none. A collector that does not answer loses spans and holds up nothing. Resolves to what ends it; throws `ConfigError`.
 */
export async function startTracing(options: TracingOptions): Promise<() => Promise<void>> {
  if (!isWanted(options.env)) return () => Promise.resolve();
  const { otlpSpanMaker } = await import('./otlp-span-maker.js');
  const made = otlpSpanMaker(options);
  maker = made;
  options.logger.info('traces are sent');
  return async () => {
    maker = null;
    await made.close();
  };
}

function isWanted(env: Env): boolean {
  const endpoints = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'].filter((name) => (env[name] ?? '') !== '');
  const exporter = env['OTEL_TRACES_EXPORTER'] ?? '';
  if (endpoints.length === 0 || env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || exporter === 'none') return false;
  const reasons = endpoints
    .filter((name) => !/^https?:\/\//.test(env[name] ?? '') || !URL.canParse(env[name] ?? ''))
    .map((name) => `${name} is not an address; write http://HOST:PORT or https://HOST:PORT, without it nothing is traced`);
  if (exporter !== '' && exporter !== 'otlp') reasons.push(`OTEL_TRACES_EXPORTER=${exporter} is not usable; use otlp or none`);
  for (const name of ['OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL']) {
    const protocol = env[name] ?? '';
    if (protocol !== '' && protocol !== 'http/json')
      reasons.push(`${name}=${protocol} is not usable; use http/json, which every OTLP receiver over HTTP takes (port 4318)`);
  }
  if (reasons.length > 0) throw new ConfigError(reasons);
  return true;
}

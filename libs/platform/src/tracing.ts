// Traces: spans made by hand where one process asks another. Off, they cost nothing: the SDK is loaded by `startTracing` alone, and only when a collector
// is named. One for the process, as OpenTelemetry has it, since whatever runs in it may be part of a trace.

import type { Env } from './env.js';
import { ConfigError } from './flags.js';
import type { Logger } from './logger.js';

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  /** Of few different values: an operation and a kind, never the name of an object. */
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'producer';
  /** W3C's `traceparent` of who asks; what is none is none. Absent: the span under way. */
  readonly parent?: string | undefined;
  /** No span where there is neither a parent nor a span under way: what happens by itself begins no trace. */
  readonly isPart?: boolean;
  /** Never a value of an object, and nothing that names a person. */
  readonly attributes?: SpanAttributes;
}

/** A span under way. */
export interface Span {
  /** W3C's `traceparent` for whoever is asked next. Where nothing is traced it is the parent's, handed on; undefined: there is none. */
  readonly traceparent: string | undefined;
  set(attributes: SpanAttributes): void;
  /** It did not do what it is for. `type` is of few different values. */
  fail(type: string): void;
}

/** What makes the spans of a process. */
export interface SpanMaker {
  run<T>(options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T>;
  current(): string | undefined;
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

let maker: SpanMaker | null = null;

/** The text when it is a `traceparent` of W3C's version 00, else undefined. */
export function validTraceparent(text: string | undefined): string | undefined {
  return text !== undefined && TRACEPARENT.test(text) ? text : undefined;
}

/** Does the work within a span, which ends with it and fails when it rejects. */
export function traced<T>(options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
  if (maker === null) return work(untracedSpan(validTraceparent(options.parent)));
  return maker.run({ ...options, parent: validTraceparent(options.parent) }, work);
}

/** W3C's `traceparent` of the span under way; undefined: there is none. */
export function currentTraceparent(): string | undefined {
  return maker?.current();
}

/** A span that is told to nobody. */
export function untracedSpan(traceparent: string | undefined): Span {
  return { traceparent, set: () => undefined, fail: () => undefined };
}

export interface TracingOptions {
  readonly env: Env;
  /** `service.name`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another. */
  readonly service: string;
  readonly logger: Logger;
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

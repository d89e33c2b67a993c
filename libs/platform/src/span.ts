import type { Env } from './env.js';
import type { Logger } from './logger.js';

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  /** Of few different values: an operation and a kind, never the name of an object. */
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'producer';
  /** W3C's `traceparent` of who asks; what is none is none. Absent: the span under way. */
  readonly parent?: string | undefined;
  /** `traceparent` of a span of another trace that has to do with it; what is none is none. */
  readonly link?: string | undefined;
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

export interface TracingOptions {
  readonly env: Env;
  /** `service.name`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another. */
  readonly service: string;
  readonly logger: Logger;
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The text when it is a `traceparent` of W3C's version 00, else undefined. */
export function validTraceparent(text: string | undefined): string | undefined {
  return text !== undefined && TRACEPARENT.test(text) ? text : undefined;
}

/** A span that is told to nobody. */
export function untracedSpan(traceparent: string | undefined): Span {
  return { traceparent, set: () => undefined, fail: () => undefined };
}

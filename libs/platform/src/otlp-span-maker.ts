import { AsyncLocalStorage } from 'node:async_hooks';
import { isNativeError } from 'node:util/types';
import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span as OtelSpan,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Env } from './env.js';
import { ConfigError } from './flags.js';
import { type Span, type SpanMaker, type SpanOptions, type TracingOptions, untracedSpan } from './span.js';

/** Spans wait for the collector in a queue of 2048; what comes beyond it is dropped. */
const SCHEDULE_DELAY_MS = 5000;
/** Of one batch, with everything that is tried again. */
const EXPORT_MS = 10_000;
/** How long the end of the process may wait for the collector. */
const LAST_EXPORT_MS = 3000;
const MAX_ATTRIBUTE_CHARACTERS = 256;
const KINDS = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT, producer: SpanKind.PRODUCER } as const;

/** Spans that go to a collector by OTLP over HTTP, as JSON. With which headers and certificates, and whether compressed, the SDK reads from OTEL_EXPORTER_OTLP_*. */
export function otlpSpanMaker({ env, service, logger }: TracingOptions): SpanMaker {
  const sampler = samplerOf(env);
  const scheduledDelayMillis = millisecondsIn(env, 'OTEL_BSP_SCHEDULE_DELAY', SCHEDULE_DELAY_MS);
  const timeoutMillis = millisecondsIn(env, 'OTEL_EXPORTER_OTLP_TIMEOUT', EXPORT_MS);
  const detected = detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector, serviceInstanceIdDetector] });
  const exporter = new OTLPTraceExporter({ url: addressOf(env), timeoutMillis });
  let isLost = false;
  const provider = new TracerProvider({
    sampler,
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': service }))
      .merge(detected),
    spanLimits: { attributeValueLengthLimit: MAX_ATTRIBUTE_CHARACTERS },
    spanProcessors: [
      new BatchSpanProcessor({
        scheduledDelayMillis,
        exporter: {
          export: (spans, done) => {
            exporter.export(spans, (result) => {
              if (result.error !== undefined && !isLost) logger.warn('traces cannot be sent, spans are lost', { err: result.error });
              isLost = result.error !== undefined;
              // Told already, once: the SDK would write each one to the terminal.
              done({ code: 0 });
            });
          },
          forceFlush: () => exporter.forceFlush(),
          shutdown: () => exporter.shutdown(),
        },
      }),
    ],
  });
  const tracer = provider.getTracer('harikube');
  const contexts = new AsyncLocalStorage<Context>();
  return {
    run: async <T>(options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> => {
      const { name, kind, parent, link, isPart = false, attributes } = options;
      const under = parent === undefined ? contexts.getStore() : contextOf(parent);
      if (under === undefined && isPart) return await work(untracedSpan(undefined));
      const links: Link[] = link === undefined ? [] : [{ context: spanContextOf(link) }];
      const span = tracer.startSpan(name, { kind: KINDS[kind], attributes, links }, under ?? ROOT_CONTEXT);
      const fail = (type: string): void => {
        span.setAttribute('error.type', type);
        span.setStatus({ code: SpanStatusCode.ERROR });
      };
      const shown: Span = { traceparent: traceparentOf(span), set: (more) => void span.setAttributes(more), fail };
      try {
        return await contexts.run(trace.setSpan(under ?? ROOT_CONTEXT, span), () => work(shown));
      } catch (error) {
        // Its name alone: the message may quote what was asked for.
        fail(isNativeError(error) ? error.name : typeof error);
        throw error;
      } finally {
        span.end();
      }
    },
    current: () => {
      const context = contexts.getStore();
      const span = context === undefined ? undefined : trace.getSpan(context);
      return span === undefined ? undefined : traceparentOf(span);
    },
    close: async () => {
      const late = new Promise<void>((resolve) => setTimeout(resolve, LAST_EXPORT_MS).unref());
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
    },
  };
}

function contextOf(traceparent: string): Context {
  return trace.setSpanContext(ROOT_CONTEXT, spanContextOf(traceparent));
}

function spanContextOf(traceparent: string): SpanContext {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-');
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
}

function traceparentOf(span: OtelSpan): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** OTEL_TRACES_SAMPLER and its _ARG as OpenTelemetry's specification has them. */
function samplerOf(env: Env): Sampler {
  const name = env['OTEL_TRACES_SAMPLER'] ?? '';
  const ratio = (): Sampler => {
    const text = env['OTEL_TRACES_SAMPLER_ARG'] ?? '1';
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!(value >= 0 && value <= 1)) throw new ConfigError([`OTEL_TRACES_SAMPLER_ARG=${text} is not usable; use a part from 0 to 1`]);
    return new TraceIdRatioBasedSampler(value);
  };
  switch (name) {
    case '':
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: ratio() });
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return ratio();
    default:
      throw new ConfigError([
        `OTEL_TRACES_SAMPLER=${name} is not usable; use always_on, always_off, traceidratio, or one of these with parentbased_ before it`,
      ]);
  }
}

function millisecondsIn(env: Env, name: string, absent: number): number {
  const text = env[name] ?? '';
  if (text === '') return absent;
  if (!/^\d{1,7}$/.test(text)) throw new ConfigError([`${name}=${text} is not usable; use milliseconds`]);
  return Number(text);
}

/** That of traces alone is taken as it is. */
function addressOf(env: Env): string {
  const own = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] ?? '';
  return own === '' ? `${(env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '').replace(/\/$/, '')}/v1/traces` : own;
}

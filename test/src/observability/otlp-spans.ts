import { fieldsOf } from '@harikube/testing';

/** A span as OTLP's JSON has it, with the name of the service that sent it. */
export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: unknown }[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[] };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<CollectedSpan, 'service'>[] }[];
  }[];
}

/** The spans of an ExportTraceServiceRequest as JSON. */
export function spansOfJson(text: string): CollectedSpan[] {
  const { resourceSpans } = JSON.parse(text) as ExportRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => ({ ...span, service })));
  });
}

/** The same as protobuf: opentelemetry/proto/trace/v1/trace.proto. Of attributes, those that are texts. */
export function spansOfProtobuf(message: Buffer): CollectedSpan[] {
  return all(message, 1).flatMap((resourceSpans) => {
    const attributes = all(resourceSpans, 1).flatMap((resource) => attributesOf(resource, 1));
    const service = String(attributes.find(({ key }) => key === 'service.name')?.value ?? '');
    return all(resourceSpans, 2)
      .flatMap((scopeSpans) => all(scopeSpans, 2))
      .map((span) => ({
        service,
        traceId: hex(span, 1),
        spanId: hex(span, 2),
        parentSpanId: hex(span, 4),
        name: text(span, 5),
        attributes: attributesOf(span, 9),
        links: all(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
      }));
  });
}

function attributesOf(message: Buffer, field: number): { key: string; value: string }[] {
  return all(message, field).map((pair) => ({
    key: text(pair, 1),
    value: all(pair, 2)
      .map((value) => text(value, 1))
      .join(''),
  }));
}

function all(message: Buffer, field: number): Buffer[] {
  return fieldsOf(message).flatMap((each) => (each.field === field && each.bytes !== null ? [each.bytes] : []));
}

function text(message: Buffer, field: number): string {
  return all(message, field).join('');
}

function hex(message: Buffer, field: number): string {
  return all(message, field)
    .map((bytes) => bytes.toString('hex'))
    .join('');
}

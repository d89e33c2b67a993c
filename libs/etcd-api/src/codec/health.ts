import type { WireReader } from '../wire/wire-reader.js';
import { writer } from '../wire/wire-writer.js';

/** `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
export const ServingStatus = { Unknown: 0, Serving: 1, NotServing: 2, ServiceUnknown: 3 } as const;
export type ServingStatus = (typeof ServingStatus)[keyof typeof ServingStatus];

/** `HealthCheckRequest.service`=1. */
export function decodeHealthCheckRequest(reader: WireReader): string {
  let service = '';
  while (reader.next()) {
    if (reader.field === 1) service = reader.string();
    else reader.skip();
  }
  return service;
}

/** `HealthCheckResponse.status`=1. */
export function encodeHealthCheckResponse(status: ServingStatus): Buffer {
  const target = writer.reset();
  target.number(1, status);
  return target.frame();
}

/** `HealthListResponse.statuses`=1, a map: entries of `key`=1 and `value`=2. */
export function encodeHealthListResponse(statuses: ReadonlyMap<string, ServingStatus>): Buffer {
  const target = writer.reset();
  for (const [service, status] of statuses) {
    const entry = target.begin(1);
    target.bytesAlways(1, Buffer.from(service, 'utf8'));
    const value = target.begin(2);
    target.number(1, status);
    target.end(value);
    target.end(entry);
  }
  return target.frame();
}

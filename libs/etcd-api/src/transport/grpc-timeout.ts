import { GrpcCode, GrpcError } from '../wire/grpc-status.js';

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Node's timers hold 31 bits of milliseconds. */
const LONGEST_MS = 0x7fffffff;

/** Milliseconds that a `grpc-timeout` header allows (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */
export function parseGrpcTimeout(header: string): number {
  const unit = UNIT_MS[header.slice(-1)];
  const digits = header.slice(0, -1);
  if (unit === undefined || !/^\d{1,8}$/.test(digits)) throw new GrpcError(GrpcCode.Internal, `malformed grpc-timeout: "${header}"`);
  return Math.min(Number(digits) * unit, LONGEST_MS);
}

/** gRPC's status codes (https://grpc.io/docs/guides/status-codes), those that this server uses. */
export const GrpcCode = {
  Ok: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
} as const;

export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

/** An error that goes to the client as it stands. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  constructor(
    readonly code: GrpcCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

import type * as keyspace from '@harikube/keyspace';
import { KeyspaceError } from '@harikube/keyspace';
import { GrpcCode, GrpcError } from './wire/grpc-status.js';

type Exports = typeof keyspace;
type ErrorOf<T> = T extends new (...args: never[]) => infer E ? (E extends KeyspaceError ? E : never) : never;

/**
 * Every error class that the keyspace exports: one added there without a line here does not compile. A backend's own two
 * stay between it and the keyspace.
 */
type AnyKeyspaceError = Exclude<
  { [Name in keyof Exports]: ErrorOf<Exports[Name]> }[keyof Exports],
  keyspace.CommitFailedError | keyspace.CommitUnknownError
>;

/**
 * The one place where errors become what etcd's clients know. They recognise an error by its exact text
 * (etcd api/v3rpc/rpctypes/error.go, v3.6) and decide by the code whether to try again. CANCELED and DEADLINE_EXCEEDED
 * never come from here: a client repeats every call that is answered with them, writes too. An error that nobody expects
 * keeps its text for `onInternalError`.
 */
export function toGrpcError(error: unknown, onInternalError?: (error: GrpcError) => void): GrpcError {
  if (error instanceof GrpcError) return error;
  if (error instanceof KeyspaceError) return translate(error as AnyKeyspaceError);
  const internal = new GrpcError(GrpcCode.Internal, 'etcdserver: internal error', { cause: error });
  onInternalError?.(internal);
  return internal;
}

function translate(error: AnyKeyspaceError): GrpcError {
  const status = (code: GrpcCode, text: string): GrpcError => new GrpcError(code, `etcdserver: ${text}`, { cause: error });
  switch (error.name) {
    case 'CompactedError':
      return status(GrpcCode.OutOfRange, 'mvcc: required revision has been compacted');
    case 'FutureRevisionError':
      return status(GrpcCode.OutOfRange, 'mvcc: required revision is a future revision');
    case 'LeaseTtlTooLargeError':
      return status(GrpcCode.OutOfRange, 'too large lease TTL');
    case 'EmptyKeyError':
      return status(GrpcCode.InvalidArgument, 'key is not provided');
    case 'KeyNotFoundError':
      return status(GrpcCode.InvalidArgument, 'key not found');
    case 'ValueProvidedError':
      return status(GrpcCode.InvalidArgument, 'value is provided');
    case 'LeaseProvidedError':
      return status(GrpcCode.InvalidArgument, 'lease is provided');
    case 'TooManyOperationsError':
      return status(GrpcCode.InvalidArgument, 'too many operations in txn request');
    case 'DuplicateKeyError':
      return status(GrpcCode.InvalidArgument, 'duplicate key given in txn request');
    case 'RequestTooLargeError':
      return status(GrpcCode.InvalidArgument, 'request is too large');
    case 'MisfitError':
      return status(GrpcCode.InvalidArgument, error.message);
    case 'LeaseNotFoundError':
      return status(GrpcCode.NotFound, 'requested lease not found');
    case 'LeaseExistsError':
      return status(GrpcCode.FailedPrecondition, 'lease already exists');
    case 'TooManyRequestsError':
      return status(GrpcCode.ResourceExhausted, 'too many requests');
    case 'UnsupportedError':
      return status(GrpcCode.Unimplemented, error.message);
    case 'UnavailableError':
      return status(GrpcCode.Unavailable, error.message);
    case 'UnknownOutcomeError':
      return status(GrpcCode.Unavailable, 'request timed out');
    case 'StoppedError':
      return status(GrpcCode.Unavailable, 'server stopped');
    default:
      return unmapped(error);
  }
}

function unmapped(error: never): GrpcError {
  return new GrpcError(GrpcCode.Internal, 'etcdserver: internal error', { cause: error });
}

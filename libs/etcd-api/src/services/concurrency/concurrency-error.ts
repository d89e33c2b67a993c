import { KeyspaceError } from '@harikube/keyspace';
import { toGrpcError } from '../../etcd-status.js';
import { GrpcCode, GrpcError } from '../../wire/grpc-status.js';

/** A refusal of the lock or election itself. */
export function refusal(text: string): GrpcError {
  return new GrpcError(GrpcCode.Unknown, text);
}

/**
 * etcd's lock and election services are clients of its own API and pass what that refuses on as a text without a code. What says that the
 * server cannot answer now keeps its code, by which clients try again.
 */
export async function asClient<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message } = toGrpcError(error);
    const isRefusal = code === GrpcCode.InvalidArgument || code === GrpcCode.NotFound || code === GrpcCode.OutOfRange;
    throw isRefusal ? new GrpcError(GrpcCode.Unknown, message, { cause: error }) : error;
  }
}

/** Throws when the client has gone away, or the server closes. */
export function throwIfGone(signal: AbortSignal): void {
  if (!signal.aborted) return;
  // Nobody hears the first of the two.
  throw signal.reason instanceof KeyspaceError ? signal.reason : new GrpcError(GrpcCode.Canceled, 'context canceled');
}

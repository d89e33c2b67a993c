import {
  CompactedError,
  DuplicateKeyError,
  EmptyKeyError,
  FutureRevisionError,
  KeyNotFoundError,
  LeaseExistsError,
  LeaseNotFoundError,
  LeaseProvidedError,
  LeaseTtlTooLargeError,
  MisfitError,
  RequestTooLargeError,
  StoppedError,
  TooManyOperationsError,
  TooManyRequestsError,
  UnavailableError,
  UnknownOutcomeError,
  UnsupportedError,
  ValueProvidedError,
} from '@harikube/keyspace';
import { describe, expect, it } from '@jest/globals';
import { toGrpcError } from './etcd-status.js';
import { GrpcCode, GrpcError } from './wire/grpc-status.js';

describe('toGrpcError', () => {
  it.each([
    [new CompactedError(5n), GrpcCode.OutOfRange, 'etcdserver: mvcc: required revision has been compacted'],
    [new FutureRevisionError(9n, 5n), GrpcCode.OutOfRange, 'etcdserver: mvcc: required revision is a future revision'],
    [new LeaseTtlTooLargeError(), GrpcCode.OutOfRange, 'etcdserver: too large lease TTL'],
    [new EmptyKeyError(), GrpcCode.InvalidArgument, 'etcdserver: key is not provided'],
    [new KeyNotFoundError(), GrpcCode.InvalidArgument, 'etcdserver: key not found'],
    [new ValueProvidedError(), GrpcCode.InvalidArgument, 'etcdserver: value is provided'],
    [new LeaseProvidedError(), GrpcCode.InvalidArgument, 'etcdserver: lease is provided'],
    [new TooManyOperationsError(), GrpcCode.InvalidArgument, 'etcdserver: too many operations in txn request'],
    [new DuplicateKeyError(), GrpcCode.InvalidArgument, 'etcdserver: duplicate key given in txn request'],
    [new RequestTooLargeError(), GrpcCode.InvalidArgument, 'etcdserver: request is too large'],
    [
      new MisfitError('users', 'its value has 2 bytes'),
      GrpcCode.InvalidArgument,
      'etcdserver: request is too large for backend "users": its value has 2 bytes',
    ],
    [new LeaseNotFoundError(), GrpcCode.NotFound, 'etcdserver: requested lease not found'],
    [new LeaseExistsError(), GrpcCode.FailedPrecondition, 'etcdserver: lease already exists'],
    [new TooManyRequestsError(), GrpcCode.ResourceExhausted, 'etcdserver: too many requests'],
    [new UnknownOutcomeError('main'), GrpcCode.Unavailable, 'etcdserver: request timed out'],
    [new StoppedError(), GrpcCode.Unavailable, 'etcdserver: server stopped'],
    [new UnsupportedError('defragment'), GrpcCode.Unimplemented, 'etcdserver: defragment is not supported'],
    [new UnavailableError('users', 'it is gone'), GrpcCode.Unavailable, 'etcdserver: backend "users" is unavailable: it is gone'],
  ])('tells %s as etcd does', (error, code, message) => {
    expect(toGrpcError(error)).toMatchObject({ code, message, cause: error });
  });

  it('keeps what nobody expects from the client and tells it to the one who has to act', () => {
    const cause = new Error('relation "log" does not exist');
    let told: GrpcError | null = null;
    const error = toGrpcError(cause, (internal) => (told = internal));
    expect(error).toMatchObject({ code: GrpcCode.Internal, message: 'etcdserver: internal error', cause });
    expect(told).toBe(error);
  });

  it('leaves an error that is one already as it is', () => {
    const error = new GrpcError(GrpcCode.NotFound, 'x');
    expect(toGrpcError(error)).toBe(error);
  });
});

/**
 * The keyspace's errors. Each has a fixed `name` and only the fields that somebody reads; the wire's codes and
 * texts are made from them in one place (`etcd-status.ts` of libs/etcd-api).
 */

/** Base of every error that a caller of the keyspace may be told about. */
export abstract class KeyspaceError extends Error {
  abstract override readonly name: string;
}

/** The revision asked for lies below the compaction. */
export class CompactedError extends KeyspaceError {
  readonly name = 'CompactedError';
  constructor(readonly compactRevision: bigint) {
    super(`required revision has been compacted (compaction is at ${compactRevision})`);
  }
}

/** The revision asked for was never told to anybody yet. */
export class FutureRevisionError extends KeyspaceError {
  readonly name = 'FutureRevisionError';
  constructor(revision: bigint, current: bigint) {
    super(`required revision ${revision} is a future revision (current is ${current})`);
  }
}

/** A request without a key. */
export class EmptyKeyError extends KeyspaceError {
  readonly name = 'EmptyKeyError';
  constructor() {
    super('key is not provided');
  }
}

/** `ignore_value` or `ignore_lease` on a key that does not exist. */
export class KeyNotFoundError extends KeyspaceError {
  readonly name = 'KeyNotFoundError';
  constructor() {
    super('key not found');
  }
}

/** A value together with `ignore_value`. */
export class ValueProvidedError extends KeyspaceError {
  readonly name = 'ValueProvidedError';
  constructor() {
    super('value is provided');
  }
}

/** A lease together with `ignore_lease`. */
export class LeaseProvidedError extends KeyspaceError {
  readonly name = 'LeaseProvidedError';
  constructor() {
    super('lease is provided');
  }
}

/** One branch of a txn writes a key twice. */
export class DuplicateKeyError extends KeyspaceError {
  readonly name = 'DuplicateKeyError';
  constructor() {
    super('duplicate key given in txn request');
  }
}

/** More compares or operations than a txn may hold. */
export class TooManyOperationsError extends KeyspaceError {
  readonly name = 'TooManyOperationsError';
  constructor() {
    super('too many operations in txn request');
  }
}

/** A request above the size limit. */
export class RequestTooLargeError extends KeyspaceError {
  readonly name = 'RequestTooLargeError';
  constructor() {
    super('request is too large');
  }
}

/** A key or a value that the database of this key cannot store. */
export class MisfitError extends KeyspaceError {
  readonly name = 'MisfitError';
  constructor(backend: string, reason: string) {
    super(`request is too large for backend "${backend}": ${reason}`);
  }
}

export class LeaseNotFoundError extends KeyspaceError {
  readonly name = 'LeaseNotFoundError';
  constructor() {
    super('requested lease not found');
  }
}

export class LeaseExistsError extends KeyspaceError {
  readonly name = 'LeaseExistsError';
  constructor() {
    super('lease already exists');
  }
}

export class LeaseTtlTooLargeError extends KeyspaceError {
  readonly name = 'LeaseTtlTooLargeError';
  constructor() {
    super('too large lease TTL');
  }
}

/** Too many requests of a kind that holds memory are under way. */
export class TooManyRequestsError extends KeyspaceError {
  readonly name = 'TooManyRequestsError';
  constructor() {
    super('too many requests');
  }
}

/** A feature of the etcd API that is not there: refused by its name. */
export class UnsupportedError extends KeyspaceError {
  readonly name = 'UnsupportedError';
  constructor(readonly feature: string) {
    super(`${feature} is not supported`);
  }
}

/** The database of this key or range does not answer, or this router may not use it. Nothing was written. */
export class UnavailableError extends KeyspaceError {
  readonly name = 'UnavailableError';
  constructor(
    readonly backend: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`backend "${backend}" is unavailable: ${reason}`, options);
  }
}

/** Nobody knows yet whether the write took place: the connection was lost during COMMIT. */
export class UnknownOutcomeError extends KeyspaceError {
  readonly name = 'UnknownOutcomeError';
  constructor(
    readonly backend: string,
    options?: ErrorOptions,
  ) {
    super(`the outcome of a commit in backend "${backend}" is not known`, options);
  }
}

/** The router is shutting down. */
export class StoppedError extends KeyspaceError {
  readonly name = 'StoppedError';
  constructor() {
    super('server stopped');
  }
}

/*
 * What a SQL dialect gives to SqlBackend: statements, and connections that run them. Rows are arrays in the order of the
 * statement's columns.
 */

/** `int`: a whole number of up to 64 bits. `ints` and `bytesList`: several values in one parameter, where the dialect has that. */
export type SqlType = 'int' | 'bytes' | 'text' | 'ints' | 'bytesList';

/** Numbers come back as bigint, whatever they were given as. */
export type SqlValue = bigint | number | Buffer | string | null | readonly (bigint | number)[] | readonly Buffer[];

export type SqlRow = readonly SqlValue[];

/** A statement that is prepared once per connection. Its identity is the object: it is made once. */
export interface SqlStatement {
  /** With the placeholders of the dialect. */
  readonly text: string;
  readonly parameters: readonly SqlType[];
  readonly columns: readonly SqlType[];
}

export interface SqlCall {
  readonly statement: SqlStatement;
  readonly values: readonly SqlValue[];
}

/** What a database said, or that it says nothing any more. */
export class SqlError extends Error {
  override readonly name = 'SqlError';
  /** What was to be committed may have been. */
  readonly isUnknown: boolean;
  /** A key is in `head` already. */
  readonly isTakenKey: boolean;
  /** Another transaction holds a lock, for longer than this one waits. */
  readonly isLocked: boolean;

  constructor(
    message: string,
    options: { readonly isUnknown?: boolean; readonly isTakenKey?: boolean; readonly isLocked?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.isUnknown = options.isUnknown ?? false;
    this.isTakenKey = options.isTakenKey ?? false;
    this.isLocked = options.isLocked ?? false;
  }
}

export interface SqlTransaction {
  /** The rows of one statement; those that change nothing but rows answer with none. */
  query(call: SqlCall): Promise<readonly SqlRow[]>;
}

/**
 * One session. Its methods are not called at the same time, but for `writeWhole`. After an error that came from the session and not from a
 * statement, and after a timeout, it is not usable any more: the connection is cut, and the server rolls back.
 */
export interface SqlConnection {
  /** False: closed, lost, or in a state that nobody knows. */
  readonly isUsable: boolean;
  /** Names the session to `endSession`. */
  readonly session: string;
  /** All calls in one snapshot of the database; the rows of each. */
  read(calls: readonly SqlCall[]): Promise<readonly (readonly SqlRow[])[]>;
  /**
   * Begins to read, and goes on with `read`, in one snapshot that lasts until `endSnapshot`, which has to follow in any
   * case. A dialect may put off the beginning until the first `read`.
   */
  beginSnapshot(): Promise<void>;
  endSnapshot(): Promise<void>;
  /**
   * Commits all calls, or none. The first one has to change a row: if it changes none, nothing is committed and the
   * answer is false. Rejects with SqlError.
   */
  write(calls: readonly SqlCall[]): Promise<boolean>;
  /**
   * Like `write`, for calls of which `SqlDialect.isWhole` says that they are sent at once: it may be called while others of its kind are under way, and
   * takes place behind them. Null: nothing is committed, and `write` has to tell why.
   */
  writeWhole(calls: readonly SqlCall[]): Promise<boolean | null>;
  /**
   * Commits what `work` does, and rolls it back when that throws. A statement in it that waits for a lock longer than
   * `lockTimeoutMs` fails with `isLocked`.
   */
  transaction<T>(work: (transaction: SqlTransaction) => Promise<T>): Promise<T>;
  /** Makes sure that nothing of a lost session can take place any more: what it was doing has ended one way or the other. */
  endSession(session: string): Promise<void>;
  /** Ends whoever holds the lock on the row of `meta`, their transactions with them. For a writer that takes over. */
  endWriters(): Promise<void>;
  /** At once, whatever is under way. */
  destroy(): void;
}

/** `writer` commits, `control` renews the lease beside it, `reader` reads. */
export type SqlRole = 'writer' | 'control' | 'reader';

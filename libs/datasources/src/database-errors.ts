/** The database must not be used as it is: trying again does not help, somebody has to decide. */
export class RefusedDatabaseError extends Error {
  override readonly name = 'RefusedDatabaseError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
}

/** The database cannot be opened at the moment. */
export class DatabaseOpenError extends Error {
  override readonly name = 'DatabaseOpenError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 1;
  constructor(location: string, cause: unknown) {
    super(`${location} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

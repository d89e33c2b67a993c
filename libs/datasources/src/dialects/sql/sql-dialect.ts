import type { BatchPlan } from './batch-plan.js';
import type { SqlCall, SqlConnection, SqlRole } from './sql-connection.js';
import type { SqlStatements } from './sql-statements.js';

/** What a database was found to be when it was opened. */
export interface PreparedDatabase {
  readonly identity: string;
  /** Null: it belongs to no store yet. */
  readonly storeId: string | null;
  /** What is allowed and should be known: each a sentence. */
  readonly warnings: readonly string[];
}

/** One database of one kind, as its endpoint and its settings say how to reach it. */
export interface SqlDialect {
  /** For people, without credentials. */
  readonly location: string;
  readonly statements: SqlStatements;
  /** A longer key does not fit its indexes. */
  readonly maxKeyBytes: number;
  /** Why a record of this key and value does not fit; null: it does. Absent: all do. */
  misfit?(key: Buffer, value: Buffer): string | null;
  /**
   * Makes the database when it is absent, checks the server's settings, brings the tables up to date under a lock. Rejects
   * with RefusedDatabaseError when somebody has to decide, with DatabaseOpenError otherwise.
   */
  prepare(): Promise<PreparedDatabase>;
  /** A session of its own. Every call on it ends in time: what takes longer fails. */
  connect(role: SqlRole): Promise<SqlConnection>;
  /** last_revision, id, record: a row for each of the keys that is there, and one with nulls when none is. In one statement, in any order. */
  load(keys: readonly Buffer[]): SqlCall;
  /** The writes of a batch, behind that of `meta`. */
  batch(plan: BatchPlan): readonly SqlCall[];
  /** Whether a write of these calls is sent at once, without waiting for an answer to a part of it. */
  isWhole(calls: readonly SqlCall[]): boolean;
}

import type { Backend, ControlStore } from '@harikube/keyspace';
import type { BackendTls, ConnectionPool } from './topology/topology.js';

/** How a database is used, beside what its endpoint says. */
export interface DatabaseSettings {
  /** The backend's name in the topology, for messages. */
  readonly name: string;
  readonly tls: BackendTls | null;
  readonly pool: ConnectionPool;
  /** Rows of the log that one step of a compaction goes through. */
  readonly compactBatchSize: number;
  /** A statement that takes longer has failed, and so has one that waits longer for a connection. */
  readonly requestTimeoutMs: number;
  /** Identity that the database must have, when one is on record; null: any. */
  readonly expectedIdentity: string | null;
  /** Is told what the server allows and its operator should know, when the database is opened. */
  readonly onWarning?: (sentence: string) => void;
}

/** What can be seen of a database without changing anything in it. */
export interface DatabaseGlance {
  /** Null: it was never a backend. */
  readonly identity: string | null;
  /** The store that it belongs to; null: none yet. */
  readonly storeId: string | null;
  /** Live keys. */
  readonly keys: number;
}

/** One database that may be any backend, the default one included. */
export interface Database extends Backend, ControlStore {
  /** Where it is, for people: without credentials. */
  readonly location: string;
  /** UUID of the database, made with it; empty until it is open. */
  readonly identity: string;
  /** The store that it belongs to; null: not known yet, or none. */
  readonly owner: string | null;
  readonly isOpen: boolean;
  /**
   * Makes it when absent, brings its tables up to date under a lock. Rejects with DatabaseOpenError when it cannot be opened at the moment, with
   * RefusedDatabaseError when somebody has to decide. May be called again after it has failed. Idempotent.
   */
  open(): Promise<void>;
  /** The topology that was last in force; null in a fresh store. */
  appliedTopology(): Promise<string | null>;
  saveAppliedTopology(topology: string): Promise<void>;
}

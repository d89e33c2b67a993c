/** Where the keyspace tells people what happened. */
export interface KeyspaceLog {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

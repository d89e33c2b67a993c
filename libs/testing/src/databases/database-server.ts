/** A database server of a test's own: on loopback, in a folder of its own, started and ended by the test. */
export interface DatabaseServer {
  readonly port: number;
  /** Of the process that serves; another one after a restart. */
  readonly pid: number;
  /** Holds the data; removed by `stop`. */
  readonly directory: string;
  /** A data source name, credentials included, of a database that is there and empty. */
  createDatabase(): Promise<string>;
  /** SIGKILL; resolves when the process is gone. The data stays. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT, for the server with all processes that it has started. */
  pause(): void;
  resume(): void;
  /** Starts it on the same data and port, after `kill`; resolves when it answers. */
  start(): Promise<void>;
  /** Ends it for good and removes its data. */
  stop(): Promise<void>;
}

import { EtcdClient, EtcdError } from '@harikube/testing';

/** What a router that is unavailable answers, and what a broken connection amounts to. */
const UNAVAILABLE = 14;

/** How a request ended that was not answered well. */
export type RequestFailure =
  /** Nothing came of it: a database is away, by the name of its backend. */
  | { readonly type: 'unavailable'; readonly backend: string; readonly message: string }
  /** Nobody can tell yet. */
  | { readonly type: 'unknown'; readonly message: string }
  /** The router itself is away. */
  | { readonly type: 'lost'; readonly message: string }
  | { readonly type: 'silent'; readonly message: string }
  | { readonly type: 'wrong'; readonly message: string };

/** Connects anew when the router has gone, as clients do, and waits for no answer longer than it should take. */
export class WorkloadClient {
  #client: EtcdClient | null = null;

  constructor(
    private readonly address: () => string,
    private readonly deadlineMs: number,
  ) {}

  /** The connection as it is. */
  get connection(): EtcdClient {
    this.#client ??= new EtcdClient(this.address());
    return this.#client;
  }

  /** The answer, or why there is none. */
  async ask<T>(request: (client: EtcdClient) => Promise<T>): Promise<T | RequestFailed> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<RequestFailed>((resolve) => {
      const message = `no answer within ${this.deadlineMs} ms`;
      timer = setTimeout(() => resolve(new RequestFailed({ type: 'silent', message })), this.deadlineMs);
    });
    const client = this.connection;
    const answer = request(client).catch((error: unknown) => new RequestFailed(failureOf(error)));
    const answered = await Promise.race([answer, late]);
    clearTimeout(timer);
    if (answered instanceof RequestFailed && answered.failure.type === 'lost') this.reconnect(client);
    return answered;
  }

  /** Gives up a connection, unless that has happened. */
  reconnect(lost: EtcdClient): void {
    if (this.#client !== lost) return;
    lost.close();
    this.#client = null;
  }

  close(): void {
    this.#client?.close();
    this.#client = null;
  }
}

/** A failure as a value: an answer like any other. */
export class RequestFailed {
  constructor(readonly failure: RequestFailure) {}
}

function failureOf(error: unknown): RequestFailure {
  if (!(error instanceof EtcdError)) throw error;
  const { code, message } = error;
  if (code !== UNAVAILABLE) return { type: 'wrong', message: `code ${code}: ${message}` };
  if (message === 'etcdserver: request timed out') return { type: 'unknown', message };
  const [, backend] = /^etcdserver: backend "([^"]*)" is unavailable: /.exec(message) ?? [];
  if (backend !== undefined) return { type: 'unavailable', backend, message };
  return message.startsWith('etcdserver: ') && message !== 'etcdserver: server stopped'
    ? { type: 'wrong', message: `code ${code}: ${message}` }
    : { type: 'lost', message };
}

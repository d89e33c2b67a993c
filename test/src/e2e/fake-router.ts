import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { parseTopologyDocuments, type TopologyDocument, TopologyError, topologyVersion } from '@harikube/datasources';
import type {
  RouterAbandonRequest,
  RouterBackendReport,
  RouterTopologyChange,
  RouterTopologyFailure,
  RouterTopologyMove,
  RouterTopologyPlan,
  RouterTopologyState,
} from '@harikube/platform';

export const FAKE_ROUTER_TOKEN = 'fake-router-token';

/**
 * A router's admin API by hand: it reads its source whenever it is asked for its state, takes a topology up that hides no keys, and says how many keys a
 * backend holds as the test tells it.
 */
export class FakeRouter {
  /** Keys by backend. */
  readonly keys = new Map<string, number>();
  /** Keys in the default backend that a backend of this name would capture. */
  readonly captured = new Map<string, number>();
  /** What is said of the database of a backend of this name that is not in force. */
  readonly problems = new Map<string, string>();
  /** What was given up, in order. */
  readonly abandoned: RouterAbandonRequest[] = [];
  /** It leaves what its source holds alone. */
  isHesitant = false;
  /** It answers 503. */
  isAway = false;
  plans = 0;
  #inForce: readonly TopologyDocument[] = [];
  #error: RouterTopologyFailure | undefined;
  readonly #server: Server;

  private constructor(
    readonly source: string,
    private readonly read: () => Promise<readonly TopologyDocument[] | null>,
  ) {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** `read` gives the documents of the source; null: they cannot be read. */
  static async start(source: string, read: () => Promise<readonly TopologyDocument[] | null>): Promise<FakeRouter> {
    const router = new FakeRouter(source, read);
    router.#server.listen(0, '127.0.0.1');
    await once(router.#server, 'listening');
    return router;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Names of the backends in force, in the order of their rules. */
  get backends(): string[] {
    return backendsIn(this.#inForce);
  }

  get version(): string {
    return topologyVersion(this.#inForce);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body: unknown = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
    const say = (status: number, value: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (request.headers.authorization !== `Bearer ${FAKE_ROUTER_TOKEN}`) say(401, { message: 'no token' });
    else if (this.isAway) say(503, { message: 'the router is away' });
    else if (request.url === '/v1/topology') say(200, await this.#state());
    else if (request.url === '/v1/topology/plan') {
      this.plans++;
      say(200, this.#plan((body as { documents: readonly TopologyDocument[] }).documents));
    } else if (request.url === '/v1/topology/abandon') this.#abandon(body as RouterAbandonRequest, say);
    else say(404, { message: `no ${request.url ?? ''}` });
  }

  async #state(): Promise<RouterTopologyState> {
    const found = this.isHesitant ? null : await this.read();
    if (found !== null && topologyVersion(found) !== topologyVersion(this.#inForce)) this.#take(found);
    const backends = this.backends.map((name): RouterBackendReport => report(name, this.keys.get(name) ?? 0));
    return {
      version: this.version,
      source: this.source,
      sourceVersion: found === null ? null : topologyVersion(found),
      inForceSince: '2026-01-01T00:00:00Z',
      document: '',
      ...(this.#error === undefined ? {} : { error: this.#error }),
      backends: [...backends, report('main', 1)],
    };
  }

  #take(documents: readonly TopologyDocument[]): void {
    const { check, moves, problems } = this.#plan(documents);
    const message = [...check.map((problem) => problem.message), ...problems, ...moves.map(({ from }) => `keys in ${from}`)].join('; ');
    if (message === '') {
      this.#inForce = documents;
      this.#error = undefined;
      return;
    }
    this.#error = { time: '2026-01-01T00:00:00Z', message, version: topologyVersion(documents), moves };
  }

  #plan(documents: readonly TopologyDocument[]): RouterTopologyPlan {
    const plan = { version: topologyVersion(documents), check: [], changes: [], moves: [], problems: [] };
    try {
      const next = backendsIn(documents);
      const present = this.backends;
      const move = (from: string, to: string, keys: number): RouterTopologyMove => ({
        from,
        to,
        keys,
        bytes: keys * 10,
        example: `/registry/${from}`,
      });
      const gone = present.filter((name) => !next.includes(name));
      const added = next.filter((name) => !present.includes(name));
      const lost = gone.map((name) => move(name, 'main', this.keys.get(name) ?? 0));
      const captured = added.map((name) => move('main', name, this.captured.get(name) ?? 0));
      const changes: RouterTopologyChange[] = [
        ...added.map((backend) => ({ kind: 'add' as const, backend, detail: '' })),
        ...gone.map((backend) => ({ kind: 'remove' as const, backend, detail: '' })),
      ];
      const problems = added.flatMap((name) => this.problems.get(name) ?? []);
      return { ...plan, changes, moves: [...lost, ...captured].filter(({ keys }) => keys > 0), problems };
    } catch (error) {
      if (error instanceof TopologyError) return { ...plan, check: error.problems };
      throw error;
    }
  }

  #abandon(request: RouterAbandonRequest, say: (status: number, value: object) => void): void {
    const keys = this.keys.get(request.backend) ?? 0;
    if (request.confirm !== keys) {
      say(409, { message: `"${request.backend}" holds ${keys} keys` });
      return;
    }
    this.abandoned.push(request);
    this.keys.set(request.backend, 0);
    say(200, { backend: request.backend, keys });
  }
}

function backendsIn(documents: readonly TopologyDocument[]): string[] {
  return parseTopologyDocuments(documents.filter(({ name }) => name.endsWith('.yaml'))).rules.map(({ name }) => name);
}

function report(name: string, keys: number): RouterBackendReport {
  return { name, endpoint: `sqlite://${name}.db`, isReady: true, problem: '', keys, bytes: keys * 10 };
}

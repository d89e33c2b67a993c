import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeClient, type KubeObject } from '@harikube/kube';

export interface OpenWatch {
  /** With the query. */
  readonly path: string;
  readonly response: ServerResponse;
}

/** An API server that serves watches with initial events of single objects, and tells of each how it is asked for. */
export class KubeDouble {
  readonly client: KubeClient;
  /** In the order in which they were opened; those that ended are left out. */
  readonly watches: OpenWatch[] = [];
  /** Every path that was asked for. */
  readonly asked: string[] = [];
  /** By the path of their collection and their name: `/api/v1/namespaces/shop/secrets?name`. Null: asking for it is forbidden. */
  readonly objects = new Map<string, KubeObject | null>();
  readonly #close: () => Promise<void>;
  #waiting: { readonly isMet: () => boolean; readonly resolve: () => void }[] = [];

  private constructor(client: KubeClient, close: () => Promise<void>) {
    this.client = client;
    this.#close = close;
  }

  static async start(): Promise<KubeDouble> {
    const server = createServer((request, response) => double.#serve(request.url ?? '', response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const folder = await mkdtemp(join(tmpdir(), 'harikube-watch-trigger-'));
    const kubeconfig = join(folder, 'config');
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await writeFile(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        clusters: [{ name: 'c', cluster: { server: address } }],
        users: [{ name: 'u', user: {} }],
      }),
    );
    const client = KubeClient.fromConfig({ kubeconfig, userAgent: 'spec/1' });
    const double: KubeDouble = new KubeDouble(client, async () => {
      await client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    });
    return double;
  }

  /** Resolves when as many watches are open. */
  watched(count: number): Promise<void> {
    const isMet = (): boolean => this.watches.length === count;
    return isMet() ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ isMet, resolve }));
  }

  /** To every watch. */
  send(type: string, object: KubeObject): void {
    for (const { response } of this.watches) response.write(`${JSON.stringify({ type, object })}\n`);
  }

  close(): Promise<void> {
    return this.#close();
  }

  #serve(url: string, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
    const name = searchParams.get('fieldSelector')?.replace(/^metadata\.name=/, '') ?? '';
    this.asked.push(`${pathname}?${name}`);
    const object = this.objects.get(`${pathname}?${name}`);
    if (object === null) {
      const message = `secrets "${name}" is forbidden`;
      response.writeHead(403, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'Forbidden', code: 403, message }),
      );
      return;
    }
    const watch = { path: url, response };
    this.watches.push(watch);
    response.on('close', () => {
      this.watches.splice(this.watches.indexOf(watch), 1);
      this.#tell();
    });
    response.writeHead(200, { 'content-type': 'application/json' });
    const end = { metadata: { resourceVersion: '10', annotations: { 'k8s.io/initial-events-end': 'true' } } };
    if (object !== undefined) response.write(`${JSON.stringify({ type: 'ADDED', object })}\n`);
    response.write(`${JSON.stringify({ type: 'BOOKMARK', object: end })}\n`);
    this.#tell();
  }

  #tell(): void {
    const met = this.#waiting.filter(({ isMet }) => isMet());
    this.#waiting = this.#waiting.filter((one) => !met.includes(one));
    for (const { resolve } of met) resolve();
  }
}

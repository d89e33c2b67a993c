import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Email, EmailSpec, EmailStatus } from '@harikube/crds';
import { KubeClient } from '@harikube/kube';

/** How a request is answered instead of as usual; `lost`: it is done, and the answer is lost. */
export type Trouble = number | 'cut' | 'lost' | 'hang';

/** An HTTP server that plays kube-apiserver with one Email in it: reads, and merge patches of the status. */
export class EmailsDouble {
  /** Null: it is not there. */
  email: Email | null;
  /** What happens to the next requests. */
  readonly readTroubles: Trouble[] = [];
  readonly patchTroubles: Trouble[] = [];
  /** To the patches that say that the mail is being sent; the others are `patchTroubles`. */
  readonly claimTroubles: Trouble[] = [];
  /** What was asked, such as `GET /apis/…`. */
  readonly requests: string[] = [];
  readonly client: KubeClient;
  /** Called before a patch is looked at: of one that says that the mail is being sent, and of any other. */
  onClaim: () => unknown = () => undefined;
  onPatch: () => void = () => undefined;
  readonly #server: Server;
  readonly #folder: string;

  private constructor(server: Server, folder: string, client: KubeClient, email: Email) {
    this.#server = server;
    this.#folder = folder;
    this.client = client;
    this.email = email;
    server.on('request', (request, response) => void this.#serve(request, response));
  }

  static async start(email: Email): Promise<EmailsDouble> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const folder = await mkdtemp(join(tmpdir(), 'harikube-email-'));
    const kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigOf(server));
    return new EmailsDouble(server, folder, KubeClient.fromConfig({ kubeconfig, userAgent: 'spec/1', deadlineMs: 2000 }), email);
  }

  get kubeconfig(): string {
    return join(this.#folder, 'kubeconfig');
  }

  get status(): EmailStatus {
    return this.email?.status ?? {};
  }

  async close(): Promise<void> {
    await this.client.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    this.requests.push(`${request.method} ${request.url?.split('?')[0]}`);
    const isPatch = request.method === 'PATCH';
    const isClaim = isPatch && /"sendingTimestamp":"/.test(body);
    if (isClaim) this.onClaim();
    else if (isPatch) this.onPatch();
    const trouble = (isClaim ? this.claimTroubles : isPatch ? this.patchTroubles : this.readTroubles).shift();
    if (trouble === 'hang') return;
    if (trouble === 'cut') {
      response.destroy();
      return;
    }
    const [code, answer] = typeof trouble === 'number' ? failure(trouble) : isPatch ? this.#patch(body, request) : this.#read(request);
    if (trouble === 'lost') {
      response.destroy();
      return;
    }
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  #read(request: IncomingMessage): [number, object] {
    return this.email !== null && request.url?.split('?')[0] === pathOf(this.email) ? [200, this.email] : failure(404);
  }

  #patch(body: string, request: IncomingMessage): [number, object] {
    const { email } = this;
    if (email === null || request.url?.split('?')[0] !== `${pathOf(email)}/status`) return failure(404);
    if (request.headers['content-type'] !== 'application/merge-patch+json') return failure(415);
    const { metadata = {}, status } = JSON.parse(body) as { metadata?: { resourceVersion?: string }; status: Record<string, unknown> };
    const { resourceVersion = '0' } = email.metadata;
    if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== resourceVersion) return failure(409);
    const merged = Object.fromEntries(Object.entries({ ...email.status, ...status }).filter(([, value]) => value !== null));
    // As the rule of the kind has it.
    if ((merged['errorMessage'] ?? '') !== '' && !('errorTimestamp' in merged)) return failure(422);
    this.email = { ...email, metadata: { ...email.metadata, resourceVersion: String(Number(resourceVersion) + 1) }, status: merged };
    return [200, this.email];
  }
}

const SPEC: EmailSpec = {
  toAddress: 'jane@shop.example',
  fromAddress: 'noreply@webshop.example',
  fromName: 'The Webshop',
  subject: 'Welcome, Jane',
  body: '<p>Hello <b>Jane</b></p>',
};

export function sampleEmail(spec: Partial<EmailSpec> = {}, more: Partial<Email['metadata']> = {}): Email {
  return {
    apiVersion: 'product.webshop.harikube.info/v1',
    kind: 'Email',
    metadata: { name: 'jane-welcome', namespace: 'shop', uid: 'uid-1', generation: 3, resourceVersion: '7', ...more },
    spec: { ...SPEC, ...spec },
  };
}

function pathOf({ apiVersion, metadata }: Email): string {
  return `/apis/${apiVersion}/namespaces/${metadata.namespace}/emails/${metadata.name}`;
}

function failure(code: number): [number, object] {
  return [code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, message: `answered ${code}` }];
}

function kubeconfigOf(server: Server): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'spec',
    contexts: [{ name: 'spec', context: { cluster: 'spec', user: 'spec' } }],
    clusters: [{ name: 'spec', cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } }],
    users: [{ name: 'spec', user: {} }],
  });
}

import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';

/** A request as it came. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Milliseconds since the process began. */
  readonly at: number;
  /** Common name of the client's certificate; null: none that the receiver trusts. */
  readonly clientName: string | null;
}

export type Respond = (request: ReceivedRequest, response: ServerResponse) => void;

export interface ReceiverTls {
  readonly cert: string;
  readonly key: string;
  /** Whose client certificates are trusted. */
  readonly ca: string;
}

/** An HTTP server of the test's own, which keeps what it is sent. */
export class EventReceiver {
  readonly requests: ReceivedRequest[] = [];
  /** Answers; 200 unless it is changed. */
  respond: Respond = (_, response) => void response.end();
  readonly #scheme: 'http' | 'https';
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];

  private constructor(tls: ReceiverTls | undefined) {
    const receive = (incoming: IncomingMessage, response: ServerResponse): void => this.#receive(incoming, response);
    this.#scheme = tls === undefined ? 'http' : 'https';
    this.#server =
      tls === undefined ? createServer(receive) : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, receive);
  }

  /** With `tls` it serves https, to clients with and without a certificate. */
  static async start(tls?: ReceiverTls): Promise<EventReceiver> {
    const receiver = new EventReceiver(tls);
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  /** Resolves when it holds, which is looked at after each request; rejects with what is there when it takes too long. */
  async until(holds: () => boolean, seconds = 120): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`${this.requests.length} requests came and not what was waited for`)),
      seconds * 1000,
    );
    try {
      while (!holds()) await Promise.race([new Promise<void>((resolve) => this.#waiting.push(resolve)), late.promise]);
    } finally {
      clearTimeout(timer);
      late.promise.catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #receive(incoming: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url = '', headers, socket } = incoming;
      const body = Buffer.concat(chunks).toString();
      const request = { method, path: url, headers, body, at: performance.now(), clientName: clientNameOf(socket) };
      this.requests.push(request);
      this.respond(request, response);
      for (const look of this.#waiting.splice(0)) look();
    });
  }
}

function clientNameOf(socket: IncomingMessage['socket']): string | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const { CN = null } = socket.getPeerCertificate().subject;
  return typeof CN === 'string' ? CN : null;
}

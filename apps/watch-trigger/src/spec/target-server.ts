import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly socket: Socket;
  readonly response: ServerResponse;
}

/** A receiver of events on loopback, which answers 204 unless a spec says otherwise. */
export class TargetServer {
  /** In the order in which they came. */
  readonly received: Received[] = [];
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets = new Set<Socket>();
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  answer: (received: Received) => void = ({ response }) => response.writeHead(204).end();

  private constructor(tls: ServerOptions | null) {
    const listener: RequestListener = (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('error', () => undefined);
      request.on('end', () => {
        const { method = '', url = '', headers, socket } = request;
        const received = { method, url, headers, body: Buffer.concat(parts).toString(), socket, response };
        this.received.push(received);
        this.answer(received);
        for (const { resolve } of this.#waiting.filter(({ count }) => count <= this.received.length)) resolve();
        this.#waiting = this.#waiting.filter(({ count }) => count > this.received.length);
      });
    };
    this.#server = tls === null ? createServer(listener) : createTlsServer(tls, listener);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('tlsClientError', () => undefined);
  }

  static async start(tls: ServerOptions | null = null): Promise<TargetServer> {
    const target = new TargetServer(tls);
    await new Promise<void>((resolve) => target.#server.listen(0, '127.0.0.1', resolve));
    return target;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  get last(): Received {
    const last = this.received.at(-1);
    if (last === undefined) throw new Error('nothing was received');
    return last;
  }

  /** Resolves when so many requests have come. */
  arrived(count: number): Promise<void> {
    return this.received.length >= count ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  /** Answers everything so. */
  answers(code: number, headers: Readonly<Record<string, string>> = {}, body = ''): void {
    this.answer = ({ response }) => response.writeHead(code, headers).end(body);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

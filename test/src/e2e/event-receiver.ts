import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it came. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Milliseconds since the process began. */
  readonly at: number;
}

export type Respond = (request: ReceivedRequest, response: ServerResponse) => void;

/** An HTTP server of the test's own, which keeps what it is sent. */
export class EventReceiver {
  readonly requests: ReceivedRequest[] = [];
  /** Answers; 200 unless it is changed. */
  respond: Respond = (_, response) => void response.end();
  readonly #server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url = '', headers } = incoming;
      const request = { method, path: url, headers, body: Buffer.concat(chunks).toString(), at: performance.now() };
      this.requests.push(request);
      this.respond(request, response);
      for (const look of this.#waiting.splice(0)) look();
    });
  });
  readonly #waiting: (() => void)[] = [];

  static async start(): Promise<EventReceiver> {
    const receiver = new EventReceiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it holds, which is looked at after each request; rejects with what is there when it takes too long. */
  async until(holds: () => boolean, seconds = 30): Promise<void> {
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
}

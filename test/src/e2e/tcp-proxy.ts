import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between clients and a server on this machine, so that a test can break what they have. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<{ readonly client: Socket; readonly upstream: Socket }>();
  #isRefusing = false;
  #isHolding = false;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      if (this.#isRefusing) {
        client.destroy();
        return;
      }
      const upstream = connect(targetPort, '127.0.0.1');
      const pair = { client, upstream };
      this.#pairs.add(pair);
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          other.destroy();
          this.#pairs.delete(pair);
        });
      }
      client.pipe(upstream);
      upstream.on('data', (data) => void client.write(data));
      if (this.#isHolding) upstream.pause();
    });
  }

  /** Of 127.0.0.1; clients come to a port of `host`. */
  static async start(targetPort: number, host = '127.0.0.1'): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, host, resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const { client, upstream } of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
  }

  /** Breaks every connection, and each that is made until `admit`. */
  refuse(): void {
    this.#isRefusing = true;
    this.cut();
  }

  admit(): void {
    this.#isRefusing = false;
  }

  /** Keeps back what the server says, until `release`. */
  hold(): void {
    this.#isHolding = true;
    for (const { upstream } of this.#pairs) upstream.pause();
  }

  release(): void {
    this.#isHolding = false;
    for (const { upstream } of this.#pairs) upstream.resume();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

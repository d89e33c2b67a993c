import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type ListenAddress, parseListenAddress } from './listen-address.js';

/** Who is in charge of the connections that a listener accepts. */
export interface SocketTaker {
  /** The socket is its own from here on. Nobody has taken a byte from it; `address` is the one that the client came in by. */
  take(socket: Socket, address: ListenAddress): void;
  /** Somebody else is in charge from here on, and may be handed what nobody has taken a byte from. */
  yieldTo?(next: SocketTaker): void;
}

const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 };

/**
 * Listens on addresses and hands each connection to whoever is in charge at that moment. When somebody else comes in charge the listening
 * sockets stay what they are: there is no moment at which a client is refused.
 */
export class SocketListener {
  readonly #servers: Server[] = [];
  #addresses: readonly ListenAddress[] = [];
  #taker: SocketTaker = REFUSING;
  #closed: Promise<void> | null = null;

  constructor(
    /** See `parseListenAddress`. */
    readonly given: readonly string[],
    /** Is told of connections that could not be accepted; they cost nobody else theirs. */
    private readonly onError: (error: Error) => void,
  ) {}

  /** As they are listened on: port 0 is replaced by the real one. Empty before `open`. */
  get addresses(): readonly ListenAddress[] {
    return this.#addresses;
  }

  /** Listens on every address, or on none. Idempotent. */
  async open(): Promise<void> {
    if (this.#addresses.length > 0) return;
    try {
      const addresses: ListenAddress[] = [];
      for (const text of this.given) addresses.push(await this.#bind(parseListenAddress(text)));
      this.#addresses = addresses;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Whoever was in charge before yields. */
  handTo(taker: SocketTaker): void {
    const former = this.#taker;
    this.#taker = taker;
    former.yieldTo?.(taker);
  }

  /** Stops accepting. Resolves when every connection that was accepted is gone: to end them is for whoever took them. */
  close(): Promise<void> {
    this.#closed ??= Promise.all(this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))).then(
      () => undefined,
    );
    return this.#closed;
  }

  async #bind(address: ListenAddress): Promise<ListenAddress> {
    let bound = address;
    const server = createServer(SOCKET_OPTIONS, (socket) => this.#taker.take(socket, bound));
    await (address.kind === 'unix' ? listenOnSocketFile(server, address.path) : listenOnPort(server, address));
    server.on('error', this.onError);
    this.#servers.push(server);
    const actual = server.address();
    if (address.kind === 'tcp' && actual !== null && typeof actual === 'object') bound = { ...address, port: actual.port };
    return bound;
  }
}

/** Nobody is in charge yet. */
const REFUSING: SocketTaker = { take: (socket) => socket.destroy() };

function listenOnPort(server: Server, address: ListenAddress & { kind: 'tcp' }): Promise<void> {
  return listening(server, () => server.listen({ port: address.port, ...(address.host === '' ? {} : { host: address.host }) }));
}

/** Listens on a socket file that only its owner may use. A file that nobody listens on any more is removed first. */
async function listenOnSocketFile(server: Server, path: string): Promise<void> {
  await removeStaleSocket(path);
  await listening(server, () => {
    // The file comes into being inside listen(): the mask closes the moment until chmod.
    const mask = process.umask(0o177);
    try {
      server.listen({ path });
    } finally {
      process.umask(mask);
    }
  });
  chmodSync(path, 0o600);
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}

async function removeStaleSocket(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`cannot listen on "${path}": a file that is no socket stands there`);
  if (await answers(path)) throw new Error(`cannot listen on "${path}": another process listens there`);
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}

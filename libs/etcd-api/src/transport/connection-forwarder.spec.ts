import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Authority } from '../spec/certificates.js';
import { frameOf, GrpcClient } from '../spec/grpc-client.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { ConnectionForwarder, type ForwarderLimits } from './connection-forwarder.js';
import { Http2GrpcServer, type TlsMaterial } from './http2-grpc-server.js';
import { SocketListener } from './socket-listener.js';

const MANY_BYTES = 64 * 1024 * 1024;

let opened: (() => Promise<unknown> | void)[];
let circles: number;

beforeEach(() => {
  opened = [];
  circles = 0;
});

afterEach(async () => {
  for (const close of opened.toReversed()) await close();
});

interface Standby {
  readonly listener: SocketListener;
  readonly forwarder: ConnectionForwarder;
  readonly port: number;
}

async function standBy(limits: Partial<ForwarderLimits> = {}, address = '127.0.0.1:0'): Promise<Standby> {
  const listener = new SocketListener([address], (error) => {
    throw error;
  });
  const forwarder = new ConnectionForwarder(() => circles++, limits);
  listener.handTo(forwarder);
  await listener.open();
  opened.push(() => {
    const closed = listener.close();
    forwarder.close();
    return closed;
  });
  const [bound] = listener.addresses;
  return { listener, forwarder, port: bound?.kind === 'tcp' ? bound.port : 0 };
}

/** A server that is active: a plain one, whose sockets the test holds. */
class Active {
  readonly #waiting: ((socket: Socket) => void)[] = [];
  readonly #sockets: Socket[] = [];
  readonly #all = new Set<Socket>();
  readonly #port: number;

  private constructor(private readonly server: Server) {
    this.#port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => {
      this.#all.add(socket);
      socket.on('error', () => undefined);
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#sockets.push(socket);
      else waiter(socket);
    });
  }

  static async start(port = 0): Promise<Active> {
    const server = createServer({ allowHalfOpen: true }).listen(port, '127.0.0.1');
    await once(server, 'listening');
    const active = new Active(server);
    opened.push(() => active.stop());
    return active;
  }

  get port(): number {
    return this.#port;
  }

  accepted(): Promise<Socket> {
    const socket = this.#sockets.shift();
    return socket === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(socket);
  }

  /** Connections to come; those that are there stay. */
  async refuse(): Promise<void> {
    this.server.close();
    const probe = connect({ port: this.#port, host: '127.0.0.1' });
    await once(probe, 'error');
  }

  async stop(): Promise<void> {
    for (const socket of this.#all) socket.destroy();
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }
}

async function connectTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  opened.push(() => void socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Everything that comes until the other side ends. */
async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (bytes: Buffer) => (text += bytes.toString()));
  await once(socket, 'end');
  return text;
}

function echoServer(addresses: readonly string[] | SocketListener, name: string, tls?: TlsMaterial): Http2GrpcServer {
  const server = new Http2GrpcServer({
    addresses,
    tls,
    routes: { '/test.Echo/Unary': { kind: 'unary', cancellable: true, handle: async () => frameOf(Buffer.from(name)) } },
    toGrpcError: () => new GrpcError(GrpcCode.Internal, ''),
  });
  opened.push(() => server.close(0));
  return server;
}

async function ask(client: GrpcClient): Promise<string> {
  const { code, messages } = await client.call('/test.Echo/Unary', Buffer.from('who'));
  return code === 0 ? (messages[0]?.toString() ?? '') : `code ${code}`;
}

describe('ConnectionForwarder', () => {
  it('carries bytes both ways and lets each side end for itself', async () => {
    const active = await Active.start();
    const { forwarder, port } = await standBy();
    forwarder.forwardTo(`127.0.0.1:${active.port}`);
    const client = await connectTo(port);
    const heard = textOf(client);
    client.end('question');
    const far = await active.accepted();
    expect(await textOf(far)).toBe('question');
    expect(forwarder.connections).toBe(1);
    far.end('answer');
    expect(await heard).toBe('answer');
    await once(client, 'close');
  });

  it('takes no more from the active server than a client reads', async () => {
    const active = await Active.start();
    const { forwarder, port } = await standBy();
    forwarder.forwardTo(`127.0.0.1:${active.port}`);
    const client = await connectTo(port);
    const far = await active.accepted();
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    let taken = 0;
    let sent = 0;
    // As long as the system takes it at once, or within a turn, somebody makes room.
    while (sent < MANY_BYTES && far.writableLength < 4 * chunk.length) {
      far.write(chunk, () => (taken += chunk.length));
      sent += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(taken).toBeLessThan(MANY_BYTES / 2);
    let received = 0;
    client.on('data', (bytes: Buffer) => (received += bytes.length));
    far.end();
    await once(client, 'end');
    expect(received).toBe(sent);
  });

  it('leaves TLS to the active server, which sees the certificate of the client', async () => {
    const authority = await Authority.create('ours');
    const pair = await authority.issue('server');
    const clientPair = await authority.issue('client');
    const active = echoServer(['127.0.0.1:0'], 'active', { ...pair, ca: authority.cert });
    const [url = ''] = await active.listen();
    const { forwarder, port } = await standBy();
    forwarder.forwardTo(url.replace('https://', ''));
    const known = new GrpcClient(`https://127.0.0.1:${port}`, { ca: authority.cert, ...clientPair });
    expect(await ask(known)).toBe('active');
    const unknown = new GrpcClient(`https://127.0.0.1:${port}`, { ca: authority.cert });
    expect(await ask(unknown)).toMatch(/^code -/);
    known.close();
    unknown.close();
  });

  it('holds connections while nobody is active, and forwards them when somebody is', async () => {
    const { forwarder, port } = await standBy();
    const client = new GrpcClient(`http://127.0.0.1:${port}`);
    const answer = ask(client);
    await connectTo(port);
    const active = echoServer(['127.0.0.1:0'], 'active');
    const [url = ''] = await active.listen();
    forwarder.forwardTo(url.replace('http://', ''));
    expect(await answer).toBe('active');
    client.close();
  });

  it('tries again while the active server refuses connections', async () => {
    const gone = await Active.start();
    const { port: farPort } = gone;
    await gone.stop();
    const { forwarder, port } = await standBy({ retryMs: 5 });
    forwarder.forwardTo(`127.0.0.1:${farPort}`);
    const client = new GrpcClient(`http://127.0.0.1:${port}`);
    const answer = ask(client);
    await connectTo(port);
    await echoServer([`127.0.0.1:${farPort}`], 'back').listen();
    expect(await answer).toBe('back');
    client.close();
  });

  it('refuses connections that were held too long, and those beyond the limit', async () => {
    const { port } = await standBy({ holdMs: 50, maxConnections: 1 });
    const held = await connectTo(port);
    const refused = await connectTo(port);
    const order: string[] = [];
    const gone = [held, refused].map(async (socket, i) => {
      socket.resume();
      await once(socket, 'close');
      order.push(i === 0 ? 'held' : 'beyond');
    });
    held.once('end', () => held.end());
    refused.once('end', () => refused.end());
    await Promise.all(gone);
    expect(order).toEqual(['beyond', 'held']);
  });

  it('cuts a connection that the active server cuts, and the other way round', async () => {
    const active = await Active.start();
    const { forwarder, port } = await standBy();
    forwarder.forwardTo(`127.0.0.1:${active.port}`);
    for (const whoCuts of ['active', 'client'] as const) {
      const client = await connectTo(port);
      const far = await active.accepted();
      client.write('whole');
      await once(far, 'data');
      client.resume();
      const [cutting, cut] = whoCuts === 'active' ? [far, client] : [client, far];
      const failed = once(cut, 'error').then(([error]) => (error as NodeJS.ErrnoException).code);
      cutting.resetAndDestroy();
      // Not an end, which would say that nothing is missing.
      expect(await failed).toBe('ECONNRESET');
    }
  });

  it('ends what was forwarded to a server when another one is active', async () => {
    const [former, next] = [await Active.start(), await Active.start()];
    const { forwarder, port } = await standBy();
    forwarder.forwardTo(`127.0.0.1:${former.port}`);
    const client = await connectTo(port);
    const far = await former.accepted();
    client.write('to the former');
    await once(far, 'data');
    forwarder.forwardTo(`127.0.0.1:${former.port}`);
    expect(forwarder.connections).toBe(1);
    forwarder.forwardTo(`127.0.0.1:${next.port}`);
    client.resume();
    far.resume();
    await Promise.all([once(client, 'end'), once(far, 'end')]);
    await connectTo(port);
    await next.accepted();
  });

  it('notices an active address that leads back to itself', async () => {
    const { forwarder, port } = await standBy({ holdMs: 100 }, 'localhost:0');
    forwarder.forwardTo(`localhost:${port}`);
    const socket = connect({ port, host: 'localhost' });
    opened.push(() => void socket.destroy());
    socket.resume();
    await once(socket, 'close');
    expect([circles, forwarder.connections]).toEqual([1, 0]);
  });

  it('forwards for a client whose port is that of a connection to the active server', async () => {
    const active = await Active.start();
    const { forwarder, port } = await standBy();
    forwarder.forwardTo(`127.0.0.1:${active.port}`);
    await connectTo(port);
    const { remotePort } = await active.accepted();
    const other = await Active.start();
    await connectTo(other.port);
    const socket = await other.accepted();
    Object.defineProperty(socket, 'remotePort', { value: remotePort });
    forwarder.take(socket, { kind: 'tcp', host: '127.0.0.1', port: other.port, tls: false });
    await active.accepted();
    expect(circles).toBe(0);
  });

  it('follows a chain of standbys that does not lead back', async () => {
    const active = echoServer(['127.0.0.1:0'], 'active');
    const [url = ''] = await active.listen();
    const first = await standBy();
    const second = await standBy();
    first.forwarder.forwardTo(`127.0.0.1:${second.port}`);
    second.forwarder.forwardTo(url.replace('http://', ''));
    const client = new GrpcClient(`http://127.0.0.1:${first.port}`);
    expect([await ask(client), circles]).toEqual(['active', 0]);
    client.close();
  });
});

describe('a server that takes a listener over', () => {
  it('serves what is held, and ends what was forwarded', async () => {
    const active = await Active.start();
    const { listener, forwarder, port } = await standBy({ lingerMs: 10 });
    forwarder.forwardTo(`127.0.0.1:${active.port}`);
    const forwarded = await connectTo(port);
    const heard = textOf(forwarded);
    const far = await active.accepted();
    far.write('in time');
    await once(forwarded, 'data');
    await active.refuse();
    const client = new GrpcClient(`http://127.0.0.1:${port}`);
    const answer = ask(client);
    // Accepted behind the other one.
    await connectTo(port);
    const server = echoServer(listener, 'next');
    expect(await server.listen()).toEqual([`http://127.0.0.1:${port}`]);
    far.write(', too late');
    expect(await heard).toBe('in time');
    expect(await answer).toBe('next');
    const later = new GrpcClient(`http://127.0.0.1:${port}`);
    expect(await ask(later)).toBe('next');
    client.close();
    later.close();
  });

  it('serves a client whose TLS handshake has begun while it was held', async () => {
    const authority = await Authority.create('ours');
    const pair = await authority.issue('server');
    const { listener, port } = await standBy({}, 'https://127.0.0.1:0');
    const client = new GrpcClient(`https://127.0.0.1:${port}`, { ca: authority.cert });
    const answer = ask(client);
    // The client's first bytes are there before the next connection is.
    await connectTo(port);
    await connectTo(port);
    await echoServer(listener, 'next', pair).listen();
    expect(await answer).toBe('next');
    client.close();
  });
});

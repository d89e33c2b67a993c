import { BlockStream } from '@harikube/keyspace';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectSocket, createServer as createSocketServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { frameOf, GrpcClient } from '../spec/grpc-client.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { LargeReply } from '../wire/reply.js';
import type { CallContext, RouteTable, StreamCall } from './grpc-server.js';
import { Http2GrpcServer, type GrpcServerOptions } from './http2-grpc-server.js';

const PREFIX = 5;

/** A promise and its keys. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

interface LargeRequest {
  readonly blocks: number;
  readonly bytes: number;
  readonly short?: boolean;
  readonly fails?: boolean;
}

class Fixture {
  readonly started = gate();
  readonly release = gate();
  readonly over = gate();
  readonly returned = gate();
  readonly received: string[] = [];
  call: StreamCall | null = null;
  context: CallContext | null = null;
  drains = 0;
  yielded = 0;

  routes(): RouteTable {
    return {
      '/test.Echo/Unary': {
        kind: 'unary',
        cancellable: true,
        handle: async (message) => frameOf(Buffer.from(message)),
      },
      '/test.Echo/Fails': {
        kind: 'unary',
        cancellable: true,
        handle: async (message) => {
          throw new GrpcError(GrpcCode.NotFound, message.toString());
        },
      },
      '/test.Echo/SlowRead': { kind: 'unary', cancellable: true, handle: (message, call) => this.slow(message, call) },
      '/test.Echo/SlowWrite': { kind: 'unary', cancellable: false, handle: (message, call) => this.slow(message, call) },
      '/test.Echo/Large': {
        kind: 'unary',
        cancellable: true,
        handle: async (message) => this.large(JSON.parse(message.toString()) as LargeRequest),
      },
      '/test.Echo/SlowLarge': {
        kind: 'unary',
        cancellable: true,
        handle: async (message, call) => {
          const request = JSON.parse(message.toString()) as LargeRequest;
          void call.signal;
          await this.slow(message, call);
          return this.large(request);
        },
      },
      '/test.Echo/Stream': {
        kind: 'stream',
        type: 'bidi_stream',
        open: (call) => {
          this.call = call;
          return {
            message: (message) => {
              this.received.push(message.toString());
              call.send(frameOf(Buffer.from(message)));
            },
            halfClosed: () => call.end(),
            drained: () => {
              this.drains++;
            },
            closed: () => this.over.open(),
          };
        },
      },
    };
  }

  private async slow(message: Buffer, call: CallContext): Promise<Buffer> {
    this.context = call;
    const copy = Buffer.from(message);
    this.started.open();
    await this.release.opened;
    return frameOf(copy);
  }

  private large(request: LargeRequest): LargeReply {
    const body = request.blocks * request.bytes;
    const head = Buffer.alloc(PREFIX);
    head.writeUInt32BE(body + 1, 1);
    return { length: PREFIX + body + 1, head: [head], rest: this.blocks(request), tail: Buffer.from('.') };
  }

  private blocks(request: LargeRequest): BlockStream {
    let next = request.short === true ? 1 : 0;
    const read = async (): Promise<Buffer | null> => {
      await new Promise((resolve) => setImmediate(resolve));
      if (next >= request.blocks) return null;
      if (request.fails === true && next === 3) throw new Error('the database went away');
      this.yielded++;
      return Buffer.alloc(request.bytes, next++);
    };
    return new BlockStream(read, async () => this.returned.open());
  }
}

let folder: string;
let fixture: Fixture;
let server: Http2GrpcServer;
let clients: GrpcClient[];

async function start(options: Partial<GrpcServerOptions> = {}): Promise<GrpcClient> {
  return client(await startAt(options));
}

async function startAt(options: Partial<GrpcServerOptions> = {}): Promise<string> {
  fixture = new Fixture();
  server = new Http2GrpcServer({
    addresses: ['127.0.0.1:0'],
    routes: fixture.routes(),
    toGrpcError: (error) => (error instanceof GrpcError ? error : new GrpcError(GrpcCode.Internal, String(error))),
    ...options,
  });
  const [url] = await server.listen();
  return url ?? '';
}

function client(url: string): GrpcClient {
  const made = new GrpcClient(url);
  clients.push(made);
  return made;
}

beforeEach(() => {
  clients = [];
  folder = mkdtempSync(join(tmpdir(), 'etcd-api-'));
});

afterEach(async () => {
  fixture.release.open();
  for (const made of clients) made.close();
  await server.close(0);
  rmSync(folder, { recursive: true });
});

describe('Http2GrpcServer, framing', () => {
  it('answers a message that came byte by byte', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/Unary');
    for (const byte of frameOf(Buffer.from('hello'))) call.stream.write(Buffer.from([byte]));
    const { code, messages, httpStatus } = await call.outcome;
    expect([code, messages.map(String), httpStatus]).toEqual([0, ['hello'], 200]);
  });

  it('answers a unary call before the client closes its side', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/Unary');
    call.send(Buffer.from('early'));
    expect((await call.next()).toString()).toBe('early');
    call.stream.end();
    expect((await call.outcome).code).toBe(0);
  });

  it('takes several messages out of one chunk, and one cut anywhere', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/Stream');
    const bytes = Buffer.concat(['a', '', 'ccc'].map((text) => frameOf(Buffer.from(text))));
    for (let cut = 0; cut <= bytes.length; cut++) {
      call.stream.write(bytes.subarray(0, cut));
      call.stream.write(bytes.subarray(cut));
    }
    call.stream.end();
    const { code, messages } = await call.outcome;
    expect(code).toBe(0);
    expect(messages.map(String)).toEqual(Array.from({ length: bytes.length + 1 }, () => ['a', '', 'ccc']).flat());
  });

  it('takes a message of 2 MiB and refuses one byte more before reading it', async () => {
    const grpc = await start();
    const largest = await grpc.call('/test.Echo/Unary', Buffer.alloc(2097152, 1));
    expect([largest.code, largest.messages[0]?.length]).toEqual([0, 2097152]);
    const call = grpc.open('/test.Echo/Unary');
    call.stream.write(frameOf(Buffer.alloc(2097153)).subarray(0, 1000));
    const { code, text } = await call.outcome;
    expect([code, text]).toEqual([GrpcCode.ResourceExhausted, 'grpc: received message larger than max (2097153 vs. 2097152)']);
  });

  it.each([
    [1, { 'grpc-encoding': 'gzip' }, GrpcCode.Unimplemented, 'grpc: Decompressor is not installed for grpc-encoding "gzip"'],
    [1, {}, GrpcCode.Internal, 'grpc: compressed flag set with identity or empty encoding'],
    [7, {}, GrpcCode.Internal, 'grpc: received unexpected payload format 7'],
  ])('refuses the frame flag %i with %o', async (flag, headers, expectedCode, expectedText) => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/Unary', headers);
    call.stream.end(frameOf(Buffer.from('x'), flag));
    const { code, text } = await call.outcome;
    expect([code, text]).toEqual([expectedCode, expectedText]);
  });

  it('refuses a call that ends without a message or inside one', async () => {
    const grpc = await start();
    for (const path of ['/test.Echo/Unary', '/test.Echo/Stream']) {
      const call = grpc.open(path);
      call.stream.end(frameOf(Buffer.from('abc')).subarray(0, 6));
      expect(await call.outcome).toMatchObject({ code: GrpcCode.Internal, text: 'grpc: the stream ended inside a message' });
    }
    const call = grpc.open('/test.Echo/Unary');
    call.stream.end();
    expect(await call.outcome).toMatchObject({ code: GrpcCode.Internal, text: 'grpc: the stream ended without a message' });
  });

  it('percent-encodes what a header cannot hold', async () => {
    const grpc = await start();
    const message = '100 % größer\nals ~ "k"';
    const call = grpc.open('/test.Echo/Fails');
    let raw: unknown;
    call.stream.on('response', (headers) => (raw = headers['grpc-message']));
    call.stream.end(frameOf(Buffer.from(message)));
    expect(await call.outcome).toMatchObject({ code: GrpcCode.NotFound, text: message });
    expect(raw).toBe('100 %25 gr%C3%B6%C3%9Fer%0Aals ~ "k"');
  });
});

describe('Http2GrpcServer, routing', () => {
  it.each([
    ['/test.Other/Unary', 'unknown service test.Other'],
    ['/test.Echo/Other', 'unknown method Other for service test.Echo'],
    ['/nonsense', 'malformed method name: "/nonsense"'],
  ])('answers %s with UNIMPLEMENTED', async (path, text) => {
    const grpc = await start();
    expect(await grpc.call(path, Buffer.alloc(0))).toMatchObject({ code: GrpcCode.Unimplemented, text, httpStatus: 200 });
  });

  it('refuses other content types and methods, and takes the suffixes that gRPC allows', async () => {
    const grpc = await start();
    const refused = await grpc.call('/test.Echo/Unary', Buffer.alloc(0), { 'content-type': 'application/json' });
    expect(refused).toMatchObject({
      code: GrpcCode.Internal,
      text: 'invalid gRPC request content-type "application/json"',
      httpStatus: 415,
    });
    const get = await grpc.call('/test.Echo/Unary', Buffer.alloc(0), { ':method': 'PUT' });
    expect(get).toMatchObject({ code: GrpcCode.Internal, httpStatus: 405 });
    const suffix = await grpc.call('/test.Echo/Unary', Buffer.from('x'), { 'content-type': 'application/grpc+proto' });
    expect(suffix).toMatchObject({ code: GrpcCode.Ok });
  });

  it('tells its observer what was started, moved and handled', async () => {
    const seen: string[] = [];
    const grpc = await start({
      observer: {
        started: (name) => seen.push(`started ${name.service} ${name.method} ${name.type}`),
        handled: (name, code) => seen.push(`handled ${name.method} ${code}`),
        messageReceived: () => seen.push('received'),
        messageSent: () => seen.push('sent'),
      },
    });
    await grpc.call('/test.Echo/Unary', Buffer.from('x'));
    await grpc.call('/test.Echo/Fails', Buffer.from('x'));
    const call = grpc.open('/test.Echo/Stream');
    call.stream.end(Buffer.concat([frameOf(Buffer.from('1')), frameOf(Buffer.from('2'))]));
    await call.outcome;
    expect(seen).toEqual([
      ...['started test.Echo Unary unary', 'received', 'sent', 'handled Unary 0'],
      ...['started test.Echo Fails unary', 'received', 'handled Fails 5'],
      ...['started test.Echo Stream bidi_stream', 'received', 'sent', 'received', 'sent', 'handled Stream 0'],
    ]);
  });
});

describe('Http2GrpcServer, deadlines and resets', () => {
  it('gives a read up when its deadline passes', async () => {
    const grpc = await start();
    const outcome = await grpc.call('/test.Echo/SlowRead', Buffer.from('x'), { 'grpc-timeout': '20m' });
    expect(outcome).toMatchObject({ code: GrpcCode.DeadlineExceeded, text: 'context deadline exceeded' });
    expect(fixture.context?.signal.aborted).toBe(true);
  });

  it('finishes a write whose deadline has passed', async () => {
    const grpc = await start();
    const outcome = grpc.call('/test.Echo/SlowWrite', Buffer.from('x'), { 'grpc-timeout': '1n' });
    await fixture.started.opened;
    await grpc.call('/test.Echo/SlowRead', Buffer.from('y'), { 'grpc-timeout': '20m' });
    fixture.release.open();
    expect(await outcome).toMatchObject({ code: GrpcCode.Ok, messages: [Buffer.from('x')] });
  });

  it('refuses a deadline that it cannot read', async () => {
    const grpc = await start();
    const outcome = await grpc.call('/test.Echo/Unary', Buffer.from('x'), { 'grpc-timeout': '5x' });
    expect(outcome).toMatchObject({ code: GrpcCode.Internal, text: 'malformed grpc-timeout: "5x"' });
  });

  it('aborts the signal when the client resets its call, and serves the next', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/SlowRead');
    call.send(Buffer.from('x'));
    await fixture.started.opened;
    const aborted = once(fixture.context?.signal ?? new EventTarget(), 'abort');
    call.stream.close(8);
    await aborted;
    fixture.release.open();
    expect((await grpc.call('/test.Echo/Unary', Buffer.from('next'))).code).toBe(0);
  });

  it('closes the stream of a client that goes on holding it open after the answer', async () => {
    const grpc = await start();
    for (const [path, code] of [
      ['/test.Echo/Unary', GrpcCode.Ok],
      ['/test.Echo/Fails', GrpcCode.NotFound],
      ['/test.Echo/None', GrpcCode.Unimplemented],
    ] as const) {
      const call = grpc.open(path, {}, false);
      call.send(Buffer.from('x'));
      expect((await call.outcome).code).toBe(code);
    }
  });

  it('tells a stream handler once that its client is gone', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/Stream');
    call.send(Buffer.from('x'));
    await call.next();
    grpc.close();
    await fixture.over.opened;
    expect(fixture.call?.send(frameOf(Buffer.from('late')))).toBe(false);
  });
});

describe('Http2GrpcServer, large replies', () => {
  it('streams 100 MB in bounded memory while other calls on the connection are answered', async () => {
    const grpc = await start();
    const blocks = 400;
    const bytes = 256 * 1024;
    const call = grpc.open('/test.Echo/Large');
    call.stream.removeAllListeners('data');
    let received = 0;
    call.stream.on('data', (chunk: Buffer) => (received += chunk.length));
    call.stream.pause();
    call.stream.end(frameOf(Buffer.from(JSON.stringify({ blocks, bytes }))));
    await once(call.stream, 'response');
    const others = await Promise.all(Array.from({ length: 50 }, (_, i) => grpc.call('/test.Echo/Unary', Buffer.from(`${i}`))));
    expect(others.map((outcome) => String(outcome.messages[0]))).toEqual(others.map((_, i) => `${i}`));
    // Nobody reads: the server has taken no more blocks than fit its windows and buffers.
    expect(fixture.yielded).toBeLessThan(40);
    call.stream.resume();
    expect((await call.outcome).code).toBe(0);
    expect(received).toBe(PREFIX + blocks * bytes + 1);
  });

  it('gives the rest back when the client resets in the middle', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/Large');
    call.stream.pause();
    call.stream.end(frameOf(Buffer.from(JSON.stringify({ blocks: 4000, bytes: 100_000 }))));
    await once(call.stream, 'response');
    call.stream.close(8);
    await fixture.returned.opened;
    expect(fixture.yielded).toBeLessThan(400);
  });

  it('gives the rest back when the client resets before the reply is there', async () => {
    const grpc = await start();
    const call = grpc.open('/test.Echo/SlowLarge');
    call.stream.end(frameOf(Buffer.from(JSON.stringify({ blocks: 4000, bytes: 100_000 }))));
    await fixture.started.opened;
    const aborted = once(fixture.context?.signal ?? new EventTarget(), 'abort');
    call.stream.close(8);
    await aborted;
    fixture.release.open();
    await fixture.returned.opened;
    expect(fixture.yielded).toBe(0);
  });

  it.each([
    ['is shorter than announced', { blocks: 10, bytes: 1000, short: true }],
    ['fails in the middle', { blocks: 10, bytes: 1000, fails: true }],
  ])('resets a reply that %s', async (_name, request) => {
    const grpc = await start();
    const { code, messages } = await grpc.call('/test.Echo/Large', Buffer.from(JSON.stringify(request)));
    expect([code, messages]).toEqual([-1 - 2, []]);
    expect((await grpc.call('/test.Echo/Unary', Buffer.from('x'))).code).toBe(0);
  });
});

describe('Http2GrpcServer, slow readers', () => {
  it('tells the handler when its client falls behind and when it has caught up', async () => {
    const grpc = await start({ streamBufferBytes: 256 * 1024 });
    const call = grpc.open('/test.Echo/Stream');
    call.send(Buffer.from('x'));
    await call.next();
    call.stream.pause();
    const frame = frameOf(Buffer.alloc(64 * 1024));
    let sent = 0;
    while (fixture.call?.send(frame) === true) {
      sent++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent * frame.length).toBeLessThan(8 * 1024 * 1024);
    const before = fixture.drains;
    call.stream.resume();
    for (let i = 0; i <= sent; i++) await call.next();
    expect(await fixture.call?.flushed()).toBe(true);
    expect(fixture.drains).toBeGreaterThan(before);
  });
});

describe('Http2GrpcServer, hostile bytes', () => {
  it('goes on serving after connections that speak no HTTP/2', async () => {
    const grpc = await start();
    await grpc.call('/test.Echo/Unary', Buffer.from('x'));
    const port = (grpc.session.socket as unknown as { remotePort: number }).remotePort;
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const attacks: readonly Buffer[] = [
      Buffer.from('GET /health HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.from(preface + '\xff\xff\xff\xff\xff\xff\xff\xff\xff', 'latin1'),
      // DATA on a stream that was never opened.
      Buffer.concat([Buffer.from(preface), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), Buffer.from([0, 0, 1, 0, 0, 0, 0, 0, 1, 0x61])]),
      // HEADERS whose block HPACK cannot read.
      Buffer.concat([Buffer.from(preface), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), Buffer.from([0, 0, 2, 1, 5, 0, 0, 0, 1, 0xff, 0xff])]),
      Buffer.from(preface).subarray(0, 10),
    ];
    for (const attack of attacks) {
      const socket = connectSocket(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      socket.end(attack);
      await once(socket, 'close');
    }
    expect((await grpc.call('/test.Echo/Unary', Buffer.from('still there'))).messages.map(String)).toEqual(['still there']);
  });
});

describe('Http2GrpcServer, unix sockets', () => {
  it('serves on a socket file that only its owner may use, and removes it', async () => {
    const path = join(folder, 'etcd.sock');
    const grpc = await start({ addresses: [`unix://${path}`] });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect((await grpc.call('/test.Echo/Unary', Buffer.from('x'))).code).toBe(0);
    grpc.close();
    await server.close(1000);
    expect(existsSync(path)).toBe(false);
  });

  it('takes over the socket file of a process that is gone', async () => {
    const path = join(folder, 'etcd.sock');
    await leaveSocketFile(path);
    const grpc = await start({ addresses: [`unix://${path}`] });
    expect((await grpc.call('/test.Echo/Unary', Buffer.from('x'))).code).toBe(0);
  });

  it('leaves the socket of a living process, and any other file, alone', async () => {
    await start();
    const path = join(folder, 'etcd.sock');
    const other = createSocketServer().listen(path);
    await once(other, 'listening');
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    const make = (address: string): Http2GrpcServer =>
      new Http2GrpcServer({ addresses: [address], routes: {}, toGrpcError: () => new GrpcError(GrpcCode.Internal, '') });
    await expect(make(`unix://${path}`).listen()).rejects.toThrow('another process listens there');
    await expect(make(`unix://${file}`).listen()).rejects.toThrow('a file that is no socket stands there');
    other.close();
  });

  async function leaveSocketFile(path: string): Promise<void> {
    const { execFileSync } = await import('node:child_process');
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    try {
      execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' });
    } catch {
      // Killed, as meant: nobody removed the file.
    }
    expect(existsSync(path)).toBe(true);
  }
});

describe('Http2GrpcServer, listening and closing', () => {
  it('listens on all addresses or on none', async () => {
    await start();
    const taken = createSocketServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const busy = (taken.address() as AddressInfo).port;
    const path = join(folder, 'first.sock');
    const both = new Http2GrpcServer({
      addresses: [`unix://${path}`, `127.0.0.1:${busy}`],
      routes: {},
      toGrpcError: () => new GrpcError(GrpcCode.Internal, ''),
    });
    await expect(both.listen()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(existsSync(path)).toBe(false);
    taken.close();
  });

  it('ends streams with the reason, lets unary calls finish, and refuses new connections', async () => {
    const url = await startAt();
    const grpc = client(url);
    const stream = grpc.open('/test.Echo/Stream');
    stream.send(Buffer.from('x'));
    await stream.next();
    const unary = grpc.call('/test.Echo/SlowWrite', Buffer.from('kept'));
    await fixture.started.opened;
    const closed = server.close(10_000, new GrpcError(GrpcCode.Unavailable, 'etcdserver: server stopped'));
    expect(await stream.outcome).toMatchObject({ code: GrpcCode.Unavailable, text: 'etcdserver: server stopped' });
    fixture.release.open();
    expect(await unary).toMatchObject({ code: GrpcCode.Ok, messages: [Buffer.from('kept')] });
    await closed;
    expect((await client(url).call('/test.Echo/Unary', Buffer.from('x'))).code).toBeLessThan(0);
  });

  it('cuts what does not end by itself', async () => {
    const grpc = await start();
    const unary = grpc.call('/test.Echo/SlowWrite', Buffer.from('x'));
    await fixture.started.opened;
    await server.close(50);
    expect((await unary).code).toBeLessThan(0);
  });
});

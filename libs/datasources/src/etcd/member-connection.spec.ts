import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Encodable } from './etcd-messages.js';
import { GrpcCode, MemberCallError, MemberConnection } from './member-connection.js';

const LONG_MS = 10_000;
const ASKED = encodable('asked');

let server: Http2Server;
let connection: MemberConnection;
let answer: (stream: ServerHttp2Stream) => void;

beforeEach(async () => {
  server = createServer();
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    answer(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  connection = new MemberConnection({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, null);
});

afterEach(() => {
  connection.destroy();
  server.close();
});

function framed(message: string): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.write(message, 5);
  return bytes;
}

function encodable(text: string): Encodable {
  return { length: text.length, writeTo: (target, at) => at + target.write(text, at) };
}

function call(timeoutMs = LONG_MS, message = ASKED): Promise<Buffer> {
  return connection.call('/a.B/C', message, performance.now() + timeoutMs, null);
}

/** Sends what comes and ends with a status. */
function withTrailers(stream: ServerHttp2Stream, trailers: Readonly<Record<string, string>>, ...pieces: readonly Buffer[]): void {
  stream.respond({ ':status': 200 }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  for (const piece of pieces) stream.write(piece);
  stream.end();
}

async function errorOf(calling: Promise<Buffer>): Promise<MemberCallError> {
  const error: unknown = await calling.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MemberCallError);
  return error as MemberCallError;
}

describe('MemberConnection', () => {
  it('sends one message and gives back the one of the answer, in however many pieces it comes', async () => {
    const asked: Buffer[] = [];
    answer = (stream) => {
      stream.on('data', (piece: Buffer) => asked.push(piece));
      stream.on('end', () => {
        const bytes = framed('answered');
        withTrailers(stream, { 'grpc-status': '0' }, bytes.subarray(0, 3), bytes.subarray(3, 9), bytes.subarray(9));
      });
    };
    expect((await call()).toString()).toBe('answered');
    expect(Buffer.concat(asked)).toEqual(framed('asked'));
  });

  it('sends large messages whole, whether they follow one another or go at once', async () => {
    answer = (stream) => {
      const asked: Buffer[] = [];
      stream.on('data', (piece: Buffer) => asked.push(piece));
      stream.on('end', () => withTrailers(stream, { 'grpc-status': '0' }, Buffer.concat(asked)));
    };
    const sizes = [20_000, 10_000, 70_000, 5_000, 300_000, 6_000];
    const texts = sizes.map((size, i) => String.fromCharCode(97 + i).repeat(size));
    const echoes = async (text: string): Promise<boolean> => (await call(LONG_MS, encodable(text))).toString() === text;
    for (const text of texts) expect(await echoes(text)).toBe(true);
    expect(await Promise.all(texts.map(echoes))).toEqual(texts.map(() => true));
  });

  it('tells the status of an answer that has only headers, with its text', async () => {
    answer = (stream) => stream.respond({ ':status': 200, 'grpc-status': '9', 'grpc-message': 'no%20way' }, { endStream: true });
    expect(await errorOf(call())).toMatchObject({ code: GrpcCode.failedPrecondition, message: 'no way', wasSent: true });
  });

  it('refuses an answer that is cut in its message, whatever its status says', async () => {
    answer = (stream) => withTrailers(stream, { 'grpc-status': '0' }, framed('answered').subarray(0, 9));
    expect(await errorOf(call())).toMatchObject({ code: GrpcCode.internal });
  });

  it('says what answers HTTP errors', async () => {
    answer = (stream) => stream.respond({ ':status': 404 }, { endStream: true });
    expect(await errorOf(call())).toMatchObject({ code: GrpcCode.unknown, message: expect.stringContaining('HTTP 404') });
  });

  it('takes a call as sent whose connection ends, and is of no use behind that', async () => {
    answer = (stream) => stream.session?.destroy();
    expect(await errorOf(call())).toMatchObject({ code: GrpcCode.unavailable, wasSent: true });
    expect(connection.isUsable).toBe(false);
    expect(await errorOf(call())).toMatchObject({ code: GrpcCode.unavailable });
  });

  it('gives a call up at its deadline', async () => {
    answer = () => undefined;
    expect(await errorOf(call(20))).toMatchObject({ code: GrpcCode.deadlineExceeded, wasSent: true });
  });

  it('knows that a call has not left that waited for others until its deadline', async () => {
    answer = () => undefined;
    server.close();
    server = createServer({ settings: { maxConcurrentStreams: 1 } });
    const told = once(server, 'session');
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.on('stream', (stream) => stream.on('error', () => undefined));
    connection.destroy();
    connection = new MemberConnection({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, null);
    await told;
    const first = errorOf(call(500));
    await once(server, 'stream');
    expect(await errorOf(call(20))).toMatchObject({ code: GrpcCode.deadlineExceeded, wasSent: false });
    expect(await first).toMatchObject({ code: GrpcCode.deadlineExceeded, wasSent: true });
  });

  it('lets the calls under way come to their end when it takes no others', async () => {
    const arrived = new Promise<ServerHttp2Stream>((resolve) => (answer = resolve));
    const first = call();
    const stream = await arrived;
    connection.end();
    expect(connection.isUsable).toBe(false);
    withTrailers(stream, { 'grpc-status': '0' }, framed('late'));
    expect((await first).toString()).toBe('late');
  });

  it('takes others behind one that was answered before it has left', async () => {
    answer = (stream) => {
      stream.respond({ ':status': 200, 'grpc-status': '8', 'grpc-message': 'too large' }, { endStream: true });
    };
    for (let i = 0; i < 20; i++) {
      expect(await errorOf(call(LONG_MS, encodable('x'.repeat(4_000_000))))).toMatchObject({ code: GrpcCode.resourceExhausted });
    }
    answer = (stream) => withTrailers(stream, { 'grpc-status': '0' }, framed('answered'));
    expect((await call()).toString()).toBe('answered');
  });

  it('takes an answer of several megabytes', async () => {
    const long = 'long'.repeat(5_000_000);
    answer = (stream) => withTrailers(stream, { 'grpc-status': '0' }, framed(long));
    expect((await call()).toString()).toBe(long);
  });

  it('sends the token of a user', async () => {
    let token: unknown;
    server.on('stream', (_, headers) => (token = headers['token']));
    answer = (stream) => withTrailers(stream, { 'grpc-status': '0' }, framed('answered'));
    await connection.call('/a.B/C', ASKED, performance.now() + LONG_MS, 'the-token');
    expect(token).toBe('the-token');
  });

  it('says so when what answers does not speak HTTP/2', async () => {
    const other = createSocketServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    connection.destroy();
    connection = new MemberConnection({ host: '127.0.0.1', port: (other.address() as AddressInfo).port }, null);
    expect(await errorOf(call())).toMatchObject({ code: GrpcCode.unavailable, message: 'it does not speak HTTP/2' });
    other.close();
  });

  it.each(['127.0.0.1', 'localhost'])('knows that nothing of a call has left when nobody listens on %s, and says why', async (host) => {
    connection.destroy();
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    connection = new MemberConnection({ host, port }, null);
    expect(await errorOf(call())).toMatchObject({
      code: GrpcCode.unavailable,
      message: expect.stringContaining('ECONNREFUSED'),
      wasSent: false,
    });
  });
});

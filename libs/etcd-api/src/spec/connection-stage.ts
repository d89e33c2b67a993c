import { afterEach, beforeEach, expect } from '@jest/globals';
import type { StreamCall } from '../transport/grpc-server.js';
import type { Http2Limits } from '../transport/http2/limits.js';
import { Http2GrpcServer } from '../transport/http2-grpc-server.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { frameOf } from './grpc-client.js';
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  headerBlock,
  HEADERS,
  PING,
  RawConnection,
  rawFrame,
  request,
  RST_STREAM,
  type RawFrame,
} from './raw-connection.js';

export const NO_ERROR = 0;
export const PROTOCOL_ERROR = 1;
export const FLOW_CONTROL_ERROR = 3;
export const STREAM_CLOSED = 5;
export const FRAME_SIZE_ERROR = 6;
export const REFUSED_STREAM = 7;
export const COMPRESSION_ERROR = 9;
export const ENHANCE_YOUR_CALM = 11;

/** SETTINGS_... */
export const HEADER_TABLE_SIZE = 1;
export const ENABLE_PUSH = 2;
export const INITIAL_WINDOW_SIZE = 4;
export const MAX_FRAME_SIZE = 5;

/** A test's server: what it has seen, and what waits for the test. */
class ConnectionStage {
  url = '';
  readonly opened: RawConnection[] = [];
  /** Of `/t.T/Stream`. */
  readonly calls: StreamCall[] = [];
  /** Each ends the waiting of a handler of `/t.T/Waits`, or of `/t.T/Read` where it was asked to wait. */
  readonly release: (() => void)[] = [];
  /** Calls of `/t.T/Stream` that are over, and how often one was told that all of it is out. */
  ended = 0;
  drained = 0;
  /** Errors of our own. */
  readonly internal: unknown[] = [];
  /** What reads were asked for, in the order of their starts. */
  readonly reads: string[] = [];
  /** Why connections were ended. */
  readonly endings: string[] = [];

  #server: Http2GrpcServer | null = null;

  get server(): Http2GrpcServer {
    if (this.#server === null) throw new Error('no server was started');
    return this.#server;
  }

  async listen(server: Http2GrpcServer): Promise<void> {
    this.#server = server;
    [this.url = ''] = await server.listen();
  }

  /** Forgets the test before. */
  clear(): void {
    for (const list of [this.opened, this.calls, this.release, this.internal, this.reads, this.endings]) list.length = 0;
    this.ended = 0;
    this.drained = 0;
  }

  async close(): Promise<void> {
    for (const resolve of this.release) resolve();
    for (const connection of this.opened) connection.destroy();
    await this.server.close(0);
  }
}

/** Of the test under way. */
export const stage = new ConnectionStage();

export async function start(limits: Partial<Http2Limits> = {}, streamBufferBytes?: number): Promise<void> {
  const server = new Http2GrpcServer({
    addresses: ['127.0.0.1:0'],
    routes: {
      '/t.T/Echo': { kind: 'unary', cancellable: true, handle: async (message) => frameOf(Buffer.from(message)) },
      '/t.T/Bytes': { kind: 'unary', cancellable: true, handle: async (message) => frameOf(Buffer.alloc(Number(message.toString()), 'x')) },
      '/t.T/Read': {
        kind: 'unary',
        cancellable: true,
        isRead: true,
        handle: async (message) => {
          const asked = message.toString();
          stage.reads.push(asked);
          const isWait = asked.startsWith('wait');
          if (isWait) await new Promise<void>((resolve) => stage.release.push(resolve));
          return frameOf(Buffer.alloc(isWait ? 1 : Number(asked), 'x'));
        },
      },
      '/t.T/Fails': {
        kind: 'unary',
        cancellable: true,
        handle: () => Promise.reject(new GrpcError(GrpcCode.Internal, 'e'.repeat(20_000))),
      },
      '/t.T/Waits': {
        kind: 'unary',
        cancellable: true,
        handle: async () => {
          await new Promise<void>((resolve) => stage.release.push(resolve));
          return frameOf(Buffer.from('late'));
        },
      },
      '/t.T/Stream': {
        kind: 'stream',
        type: 'bidi_stream',
        open: (call) => {
          stage.calls.push(call);
          return {
            message: (message) => {
              call.send(frameOf(Buffer.from(message)));
            },
            halfClosed: () => call.end(),
            drained: () => {
              stage.drained++;
            },
            closed: () => {
              stage.ended++;
            },
          };
        },
      },
    },
    toGrpcError: (error) => {
      if (error instanceof GrpcError) return error;
      stage.internal.push(error);
      return new GrpcError(GrpcCode.Internal, 'internal');
    },
    observer: {
      started: () => {},
      handled: () => {},
      messageReceived: () => {},
      messageSent: () => {},
      connectionEnded: (reason) => stage.endings.push(reason),
    },
    limits: { lingerMs: 100, ...limits },
    streamBufferBytes,
  });
  await stage.listen(server);
}

export async function open(...pairs: readonly (readonly [id: number, value: number])[]): Promise<RawConnection> {
  const connection = await RawConnection.open(stage.url, ...pairs);
  stage.opened.push(connection);
  return connection;
}

/** A server for each test, and its connections, which are gone behind it. */
export function stageConnections(): void {
  beforeEach(() => stage.clear());

  afterEach(async () => {
    await stage.close();
    expect(stage.internal).toEqual([]);
  });
}

export const ECHO = headerBlock(request('/t.T/Echo'));
export const STREAM = headerBlock(request('/t.T/Stream'));

export function headers(streamId: number, block = ECHO, flags = END_HEADERS): Buffer {
  return rawFrame(HEADERS, flags, streamId, block);
}

export function data(streamId: number, bytes: Buffer, flags = END_STREAM): Buffer {
  return rawFrame(DATA, flags, streamId, bytes);
}

export function call(streamId: number, text = 'x', path = '/t.T/Echo'): Buffer {
  return Buffer.concat([headers(streamId, headerBlock(request(path))), data(streamId, frameOf(Buffer.from(text)))]);
}

/** The payload of all DATA of a stream. */
export function body(frames: readonly RawFrame[], streamId: number): Buffer {
  return Buffer.concat(frames.filter((frame) => frame.type === DATA && frame.streamId === streamId).map((frame) => frame.payload));
}

export function isEnd(streamId: number): (frame: RawFrame) => boolean {
  return (frame) => frame.streamId === streamId && frame.type === HEADERS && (frame.flags & END_STREAM) !== 0;
}

function isReset(streamId: number): (frame: RawFrame) => boolean {
  return (frame) => frame.streamId === streamId && frame.type === RST_STREAM;
}

export async function goAway(connection: RawConnection): Promise<number> {
  const frame = await connection.until(({ type }) => type === GOAWAY);
  await connection.closed();
  return frame.payload.readUInt32BE(4);
}

export async function resetCode(connection: RawConnection, streamId: number): Promise<number> {
  return (await connection.until(isReset(streamId))).payload.readUInt32BE(0);
}

export function pings(count: number): Buffer[] {
  return Array.from({ length: count }, () => rawFrame(PING, 0, 0, Buffer.alloc(8)));
}

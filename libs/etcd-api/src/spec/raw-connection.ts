import { connect, type Socket } from 'node:net';

/** A frame, taken apart by hand: what the server's code gets wrong must not be mended here. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;
export const WITH_PRIORITY = 0x20;

export function rawFrame(type: number, flags: number, streamId: number, payload: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(payload as Uint8Array);
  const header = Buffer.alloc(9);
  header.writeUIntBE(body.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, body]);
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  return rawFrame(SETTINGS, 0, 0, Buffer.concat(pairs.map(([id, value]) => Buffer.from([0, id, ...uint32(value)]))));
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return rawFrame(WINDOW_UPDATE, 0, streamId, uint32(increment));
}

export function rstStream(streamId: number, code = 8): Buffer {
  return rawFrame(RST_STREAM, 0, streamId, uint32(code));
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** Fields as literals that touch no table. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const rest = bytes.length - 0x7f;
  const length = rest < 0 ? [bytes.length] : rest < 0x80 ? [0x7f, rest] : [0x7f, (rest & 0x7f) | 0x80, (rest >> 7) & 0x7f];
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** The header of a call. */
export function request(path: string, more: readonly (readonly [string, string])[] = []): [string, string][] {
  const fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'x'],
    ['content-type', 'application/grpc'],
  ];
  return [...fields, ['te', 'trailers'], ...more] as [string, string][];
}

/** A client that sends what it is told to, byte for byte. */
export class RawConnection {
  readonly frames: RawFrame[] = [];
  isClosed = false;
  /** The other side takes nothing more, whether or not its last bytes are read. */
  isBroken = false;
  private readonly socket: Socket;
  private buffered = Buffer.alloc(0);
  private waiters: (() => void)[] = [];

  constructor(
    url: string,
    /** Of what comes in, the frames that are kept. */
    private readonly keeps: (frame: RawFrame) => boolean = () => true,
  ) {
    const { hostname, port } = new URL(url);
    this.socket = connect({ port: Number(port), host: hostname, noDelay: true });
    this.socket.on('data', (chunk: Buffer) => this.receive(chunk));
    this.socket.on('error', () => (this.isBroken = true));
    this.socket.on('close', () => {
      this.isClosed = true;
      this.wake();
    });
  }

  /** A connection that is past its preface, without the frames that belong to that. */
  static async open(url: string, ...pairs: readonly (readonly [id: number, value: number])[]): Promise<RawConnection> {
    const connection = new RawConnection(url);
    connection.send(PREFACE, settings(...pairs));
    await connection.until((frame) => frame.type === SETTINGS && frame.flags === ACK);
    connection.send(rawFrame(SETTINGS, ACK, 0));
    connection.frames.length = 0;
    return connection;
  }

  send(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Sends as fast as the other side takes it: false when the connection is over. */
  async flush(...parts: readonly Buffer[]): Promise<boolean> {
    if (this.isClosed || this.isBroken) return false;
    await new Promise<void>((resolve) => {
      this.socket.once('close', resolve);
      this.socket.write(Buffer.concat(parts), () => {
        this.socket.off('close', resolve);
        resolve();
      });
    });
    return !this.isClosed && !this.isBroken;
  }

  /** The first frame that `matches`; throws when the connection closes without one. */
  async until(matches: (frame: RawFrame) => boolean): Promise<RawFrame> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined) return found;
      if (this.isClosed) throw new Error('the connection is closed');
      await this.more();
    }
  }

  /** Resolves when the server has worked off everything sent before. */
  async settled(): Promise<void> {
    const token = Buffer.from(`ping${String(this.frames.length).padStart(4, '0')}`.slice(0, 8));
    this.send(rawFrame(PING, 0, 0, token));
    await this.until((frame) => frame.type === PING && frame.payload.equals(token));
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await this.more();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private receive(chunk: Buffer): void {
    this.buffered = Buffer.concat([this.buffered, chunk]);
    while (this.buffered.length >= 9 && this.buffered.length >= 9 + this.buffered.readUIntBE(0, 3)) {
      const end = 9 + this.buffered.readUIntBE(0, 3);
      const frame = {
        type: this.buffered.readUInt8(3),
        flags: this.buffered.readUInt8(4),
        streamId: this.buffered.readUInt32BE(5),
        payload: this.buffered.subarray(9, end),
      };
      if (this.keeps(frame)) this.frames.push(frame);
      this.buffered = this.buffered.subarray(end);
    }
    this.wake();
  }

  private more(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }
}

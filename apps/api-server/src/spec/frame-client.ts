import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

/** Types of HTTP/2 frames (RFC 9113, section 6). */
export const DATA = 0;
export const HEADERS = 1;
const SETTINGS = 4;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;

const END_STREAM_AND_HEADERS = 5;
/** GET / by https, of authority "a": indexes of HPACK's static table (RFC 7541, appendix A), and one literal. */
const GET = Buffer.from([0x82, 0x84, 0x87, 0x41, 0x01, 0x61]);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** An HTTP/2 client that answers nothing by itself, so that a test decides what it has read. */
export class FrameClient {
  #unread = Buffer.alloc(0);
  readonly #frames: Frame[] = [];
  #wake: () => void = () => undefined;

  private constructor(private readonly socket: TLSSocket) {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
  }

  static async connect(port: number): Promise<FrameClient> {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    await once(socket, 'secureConnect');
    const client = new FrameClient(socket);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    client.send(SETTINGS, 0, 0, Buffer.alloc(0));
    return client;
  }

  request(stream: number): void {
    this.send(HEADERS, END_STREAM_AND_HEADERS, stream, GET);
  }

  send(type: number, flags: number, stream: number, payload: Buffer): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    this.socket.write(Buffer.concat([head, payload]));
  }

  /** The next frame that fits; those before it are forgotten. */
  async until(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      for (let frame = this.#frames.shift(); frame !== undefined; frame = this.#frames.shift()) if (fits(frame)) return frame;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= 9 && this.#unread.length >= 9 + this.#unread.readUIntBE(0, 3)) {
      const end = 9 + this.#unread.readUIntBE(0, 3);
      const [type = 0, flags = 0] = this.#unread.subarray(3, 5);
      this.#frames.push({ type, flags, stream: this.#unread.readUInt32BE(5), payload: Buffer.from(this.#unread.subarray(9, end)) });
      this.#unread = this.#unread.subarray(end);
    }
    this.#wake();
  }
}

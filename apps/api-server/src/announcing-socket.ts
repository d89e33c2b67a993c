import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

const HEAD_BYTES = 9;
/** GOAWAY, no error, of the highest stream there can be: there will be an end, and nothing is refused yet (RFC 9113, section 6.8). */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * Lies between TLS and HTTP/2 and sends the announcement that a connection ends, which Node cannot: from its own GOAWAY on, whatever that says,
 * nghttp2 ignores new requests, those included that cross it; a client cannot send one with a body again.
 */
export class AnnouncingSocket extends Duplex {
  #isAnnounced = false;
  #isDue = false;
  /** Of the frame that is being sent: the part of its head that is known, and the bytes that follow it. */
  #head = Buffer.alloc(0);
  #left = 0;

  constructor(readonly tls: TLSSocket) {
    super({ allowHalfOpen: true });
    tls.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) tls.pause();
    });
    tls.once('end', () => this.push(null));
    tls.once('close', () => this.destroy());
    tls.on('error', (error: Error) => this.destroy(error));
  }

  /** Sends the announcement, once, behind the frame that is being sent. */
  announceEnd(): void {
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    if (this.#left === 0 && this.#head.length === 0) this.tls.write(NOTICE);
    else this.#isDue = true;
  }

  override _read(): void {
    this.tls.resume();
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const end = this.#follow(bytes);
    if (!this.#isDue || end === null) {
      this.tls.write(bytes, done);
      return;
    }
    this.#isDue = false;
    this.tls.write(Buffer.concat([bytes.subarray(0, end), NOTICE, bytes.subarray(end)]), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.tls.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.tls.destroy(error ?? undefined);
    done(error);
  }

  /** Keeps track of the frames, and tells where the first one ends that ends in these bytes. */
  #follow(bytes: Buffer): number | null {
    let end: number | null = null;
    for (let at = 0; at < bytes.length;) {
      if (this.#left === 0) {
        const part = bytes.subarray(at, at + HEAD_BYTES - this.#head.length);
        this.#head = Buffer.concat([this.#head, part]);
        at += part.length;
        if (this.#head.length < HEAD_BYTES) break;
        this.#left = this.#head.readUIntBE(0, 3);
      }
      const step = Math.min(this.#left, bytes.length - at);
      this.#left -= step;
      at += step;
      if (this.#left > 0) break;
      this.#head = Buffer.alloc(0);
      end ??= at;
    }
    return end;
  }
}

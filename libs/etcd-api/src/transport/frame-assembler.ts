import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { FRAME_PREFIX } from '../wire/wire-writer.js';

/** What a client may send in one message: etcd's 1.5 MiB and half a MiB for what surrounds it. */
const MAX_RECEIVE_BYTES = 2 * 1024 * 1024;

/** Cuts gRPC messages out of DATA chunks, however the two lie over each other. */
export class FrameAssembler {
  private chunks: Buffer[] = [];
  private buffered = 0;
  /** Bytes of the frame under way, prefix included; 0 while its prefix is not complete. */
  private frameLength = 0;

  constructor(private readonly encoding: string | undefined) {}

  /** Bytes of messages that are not whole. */
  get waitingBytes(): number {
    return this.buffered;
  }

  /** `chunk` may be memory of somebody else, as long as `keep` follows in this turn of the event loop. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk);
    this.buffered += chunk.length;
  }

  /** The next whole message, without its prefix; null when more bytes are needed. */
  next(): Buffer | null {
    if (this.frameLength === 0) {
      if (this.buffered < FRAME_PREFIX) return null;
      this.frameLength = this.readPrefix();
    }
    if (this.buffered < this.frameLength) return null;
    const [first] = this.chunks;
    const joined = this.chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.chunks, this.buffered);
    const message = joined.subarray(FRAME_PREFIX, this.frameLength);
    this.buffered -= this.frameLength;
    this.chunks = this.buffered === 0 ? [] : [joined.subarray(this.frameLength)];
    this.frameLength = 0;
    return message;
  }

  /** Copies what is left of the last chunk: a slice would hold all that the socket delivered with it. */
  keep(): void {
    const last = this.chunks.pop();
    if (last !== undefined) this.chunks.push(Buffer.from(last));
  }

  private readPrefix(): number {
    let [prefix] = this.chunks;
    if (prefix === undefined || prefix.length < FRAME_PREFIX) {
      prefix = Buffer.concat(this.chunks, this.buffered);
      this.chunks = [prefix];
    }
    const flag = prefix.readUInt8(0);
    if (flag !== 0) throw compressedError(flag, this.encoding);
    const length = prefix.readUInt32BE(1);
    if (length > MAX_RECEIVE_BYTES) {
      throw new GrpcError(GrpcCode.ResourceExhausted, `grpc: received message larger than max (${length} vs. ${MAX_RECEIVE_BYTES})`);
    }
    return FRAME_PREFIX + length;
  }
}

/** The message when a chunk is one whole frame and nothing else, as most requests come; null when it takes an assembler. */
export function wholeMessage(bytes: Buffer, start: number, end: number): Buffer | null {
  const length = end - start - FRAME_PREFIX;
  if (length < 0 || length > MAX_RECEIVE_BYTES || bytes[start] !== 0 || bytes.readUInt32BE(start + 1) !== length) return null;
  return bytes.subarray(start + FRAME_PREFIX, end);
}

function compressedError(flag: number, encoding: string | undefined): GrpcError {
  if (flag !== 1) return new GrpcError(GrpcCode.Internal, `grpc: received unexpected payload format ${flag}`);
  if (encoding === undefined || encoding === 'identity') {
    return new GrpcError(GrpcCode.Internal, 'grpc: compressed flag set with identity or empty encoding');
  }
  return new GrpcError(GrpcCode.Unimplemented, `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`);
}

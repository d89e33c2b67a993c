import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import { FRAME_PREFIX } from '../wire/wire-writer.js';

/** What a client may send in one message: etcd's 1.5 MiB and half a MiB for what surrounds it. */
const MAX_RECEIVE_BYTES = 2 * 1024 * 1024;

/** The first piece of memory for a message that is not whole; it is doubled until the message fits. */
const FIRST_BYTES = 512;

/** What keeping a part costs beside its bytes. */
const OVERHEAD_BYTES = 512;

/**
 * Cuts gRPC messages out of DATA chunks, however the two lie over each other. What is not whole lies in one piece of memory that grows with what
 * has come: so that a message in many small parts holds no more than its bytes, and one that is given up frees them at once instead of when
 * the collector comes round to it.
 */
export class FrameAssembler {
  /** What the caller has lent, from `position` on. */
  private chunk: Buffer = NOTHING;
  private position = 0;
  /** The beginning of a frame, prefix included, that is not whole; of `kept` the first `filled` bytes. */
  private kept: Buffer | null = null;
  private filled = 0;

  constructor(private readonly encoding: string | undefined) {}

  /** Bytes of messages that are not whole. */
  get waitingBytes(): number {
    return this.filled + this.chunk.length - this.position;
  }

  /** Memory that is held for them once `keep` is called. */
  get heldBytes(): number {
    return this.kept === null ? 0 : this.kept.length + OVERHEAD_BYTES;
  }

  /** `chunk` may be memory of somebody else, as long as `next` is asked until it has nothing more, and `keep` follows, before it changes. */
  push(chunk: Buffer): void {
    this.chunk = chunk;
    this.position = 0;
  }

  /** The next whole message, without its prefix; null when more bytes are needed. It lies in the chunk, or in memory that nobody else uses. */
  next(): Buffer | null {
    if (this.kept !== null) return this.complete(this.kept);
    const { chunk, position } = this;
    if (chunk.length - position < FRAME_PREFIX) return null;
    const end = position + this.frameLength(chunk, position);
    if (end > chunk.length) return null;
    this.position = end;
    return chunk.subarray(position + FRAME_PREFIX, end);
  }

  /** Copies what is left of the chunk. */
  keep(): void {
    const { chunk, position } = this;
    const rest = chunk.length - position;
    if (rest > 0) this.take(this.filled + rest, rest < FRAME_PREFIX ? rest : this.frameLength(chunk, position));
    this.chunk = NOTHING;
    this.position = 0;
  }

  /** What is not whole will never be. */
  discard(): void {
    if (this.kept !== null) free(this.kept);
    this.kept = null;
    this.filled = 0;
    this.chunk = NOTHING;
    this.position = 0;
  }

  /** Goes on with the message that has begun in a chunk before. */
  private complete(begun: Buffer): Buffer | null {
    if (this.filled < FRAME_PREFIX) this.take(FRAME_PREFIX, FRAME_PREFIX);
    if (this.filled < FRAME_PREFIX) return null;
    const length = this.frameLength(this.kept ?? begun, 0);
    this.take(length, length);
    const whole = this.kept;
    if (whole === null || this.filled < length) return null;
    this.kept = null;
    this.filled = 0;
    return whole.subarray(FRAME_PREFIX, length);
  }

  /** Copies from the chunk until `target` bytes are there, or as many as there are; the message is not longer than `most`, as far as is known. */
  private take(target: number, most: number): void {
    const bytes = Math.min(target - this.filled, this.chunk.length - this.position);
    const needed = this.filled + bytes;
    this.kept = grown(this.kept, needed, most);
    this.chunk.copy(this.kept, this.filled, this.position, this.position + bytes);
    this.filled = needed;
    this.position += bytes;
  }

  /** Length of the frame whose prefix begins there, prefix included. */
  private frameLength(bytes: Buffer, from: number): number {
    const flag = bytes.readUInt8(from);
    if (flag !== 0) throw compressedError(flag, this.encoding);
    const length = bytes.readUInt32BE(from + 1);
    if (length > MAX_RECEIVE_BYTES) {
      throw new GrpcError(GrpcCode.ResourceExhausted, `grpc: received message larger than max (${length} vs. ${MAX_RECEIVE_BYTES})`);
    }
    return FRAME_PREFIX + length;
  }
}

const NOTHING = Buffer.alloc(0);

/** The message when a chunk is one whole frame and nothing else, as most requests come; null when it takes an assembler. */
export function wholeMessage(bytes: Buffer, start: number, end: number): Buffer | null {
  const length = end - start - FRAME_PREFIX;
  if (length < 0 || length > MAX_RECEIVE_BYTES || bytes[start] !== 0 || bytes.readUInt32BE(start + 1) !== length) return null;
  return bytes.subarray(start + FRAME_PREFIX, end);
}

/** The same bytes in memory for at least `bytes`; the former is freed. */
function grown(former: Buffer | null, bytes: number, most: number): Buffer {
  if (former !== null && former.length >= bytes) return former;
  const wanted = Math.max(FIRST_BYTES, 2 * (former?.length ?? 0));
  const larger = Buffer.allocUnsafeSlow(Math.max(bytes, Math.min(most, wanted)));
  if (former !== null) {
    former.copy(larger);
    free(former);
  }
  return larger;
}

/** Memory that nobody else uses goes back at once. */
function free(memory: Buffer): void {
  (memory.buffer as ArrayBuffer).transfer(0);
}

function compressedError(flag: number, encoding: string | undefined): GrpcError {
  if (flag !== 1) return new GrpcError(GrpcCode.Internal, `grpc: received unexpected payload format ${flag}`);
  if (encoding === undefined || encoding === 'identity') {
    return new GrpcError(GrpcCode.Internal, 'grpc: compressed flag set with identity or empty encoding');
  }
  return new GrpcError(GrpcCode.Unimplemented, `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`);
}

import { calm } from './http2-error.js';

export interface HeaderBlockLimits {
  readonly maxHeaderBlockBytes: number;
  /** CONTINUATION frames of one block. */
  readonly maxContinuations: number;
}

/** A header block that goes on in CONTINUATION frames (RFC 9113 section 6.10). */
export class HeaderBlock {
  private readonly parts: Buffer[] = [];
  private bytes = 0;

  constructor(
    readonly streamId: number,
    readonly endStream: boolean,
    private readonly limits: HeaderBlockLimits,
  ) {}

  /** Copies the part that is `bytes` from `start` to `end`. */
  add(bytes: Buffer, start: number, end: number): void {
    this.bytes += end - start;
    // What is not read takes the dynamic table out of step: only the whole connection can be refused.
    if (this.bytes > this.limits.maxHeaderBlockBytes || this.parts.length > this.limits.maxContinuations) {
      throw calm('a header block is too long', 'header_block');
    }
    this.parts.push(Buffer.from(bytes.subarray(start, end)));
  }

  whole(): Buffer {
    return Buffer.concat(this.parts, this.bytes);
  }
}

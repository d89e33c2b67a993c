import { frameSizeError } from './http2-error.js';

/** RFC 9113 sections 4 and 6: how frames look. */

export const FrameType = {
  Data: 0x0,
  Headers: 0x1,
  Priority: 0x2,
  RstStream: 0x3,
  Settings: 0x4,
  PushPromise: 0x5,
  Ping: 0x6,
  GoAway: 0x7,
  WindowUpdate: 0x8,
  Continuation: 0x9,
} as const;

export const Flag = {
  None: 0x0,
  Ack: 0x1,
  EndStream: 0x1,
  EndHeaders: 0x4,
  Padded: 0x8,
  Priority: 0x20,
} as const;

export const Setting = {
  HeaderTableSize: 0x1,
  EnablePush: 0x2,
  MaxConcurrentStreams: 0x3,
  InitialWindowSize: 0x4,
  MaxFrameSize: 0x5,
  MaxHeaderListSize: 0x6,
} as const;

/** What a client sends first (RFC 9113 section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export const FRAME_HEADER = 9;

/** SETTINGS_MAX_FRAME_SIZE's default and least value; frames here are never longer, nor may a client's be. */
export const MAX_FRAME = 16_384;

/** The largest window and the largest stream number. */
export const MAX_31_BITS = 0x7fffffff;

/** SETTINGS_INITIAL_WINDOW_SIZE's default, and every connection's first window. */
export const DEFAULT_WINDOW = 65_535;

/** Writes the nine bytes before a payload and returns the offset behind them. */
export function writeFrameHeader(target: Buffer, offset: number, length: number, type: number, flags: number, streamId: number): number {
  target[offset] = length >> 16;
  target[offset + 1] = length >> 8;
  target[offset + 2] = length;
  target[offset + 3] = type;
  target[offset + 4] = flags;
  target[offset + 5] = streamId >> 24;
  target[offset + 6] = streamId >> 16;
  target[offset + 7] = streamId >> 8;
  target[offset + 8] = streamId;
  return offset + FRAME_HEADER;
}

export function readUInt24(source: Buffer, offset: number): number {
  return ((source[offset] as number) << 16) | ((source[offset + 1] as number) << 8) | (source[offset + 2] as number);
}

/** 31 bits; the reserved one is ignored. */
export function readUInt31(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) & MAX_31_BITS;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  settings.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return frame(FrameType.Settings, Flag.None, 0, payload);
}

export function goAwayFrame(lastStreamId: number, code: number, debug: string): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId, 0);
  payload.writeUInt32BE(code, 4);
  return frame(FrameType.GoAway, Flag.None, 0, Buffer.concat([payload, Buffer.from(debug, 'utf8')]));
}

/** RST_STREAM with an error code, or WINDOW_UPDATE with an increment. */
export function numberFrame(type: number, streamId: number, number: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(number, 0);
  return frame(type, Flag.None, streamId, payload);
}

/** A whole frame. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER + payload.length);
  bytes.set(payload, writeFrameHeader(bytes, 0, payload.length, type, flags, streamId));
  return bytes;
}

/** Length of the padding at the end of a DATA or HEADERS frame whose payload is `bytes` from `start` to `end` (RFC 9113 section 6.1). */
export function paddingLength(flags: number, bytes: Buffer, start: number, end: number): number {
  if ((flags & Flag.Padded) === 0) return 0;
  if (start === end) throw frameSizeError('a padded frame');
  return bytes[start] as number;
}

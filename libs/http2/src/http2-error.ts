/** RFC 9113 section 7, those that are sent from here. */
export const ErrorCode = {
  NoError: 0x0,
  ProtocolError: 0x1,
  InternalError: 0x2,
  FlowControlError: 0x3,
  StreamClosed: 0x5,
  FrameSizeError: 0x6,
  RefusedStream: 0x7,
  Cancel: 0x8,
  CompressionError: 0x9,
  EnhanceYourCalm: 0xb,
} as const;

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Why a server has ended a connection, for those who count. */
export type EndReason =
  /** It does not speak HTTP/2 as RFC 9113 wants it. */
  | 'protocol'
  /** Too many calls given up. */
  | 'resets'
  /** Too many frames that move nothing. */
  | 'frames'
  /** A header block that is too long or takes too long. */
  | 'header_block'
  /** Answers are not read. */
  | 'unread'
  /** It never became a connection. */
  | 'preface'
  /** Nothing comes in any more. */
  | 'silent'
  /** An error of our own. */
  | 'internal';

/** A connection that cannot go on (RFC 9113 section 5.4.1): `message` is GOAWAY's debug data. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly reason: EndReason = 'protocol',
  ) {
    super(message);
  }
}

export function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, message);
}

export function frameSizeError(frame: string): ConnectionError {
  return new ConnectionError(ErrorCode.FrameSizeError, `the length of ${frame}`);
}

/** The client asks too much of us. */
export function calm(message: string, reason: EndReason): ConnectionError {
  return new ConnectionError(ErrorCode.EnhanceYourCalm, message, reason);
}

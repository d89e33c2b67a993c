import type { EndReason } from '@harikube/http2';
import type { GrpcCode } from '../wire/grpc-status.js';
import type { Reply } from '../wire/reply.js';

/**
 * The border between gRPC's transport and the services: messages come in without their frame and go out with it, so that
 * an encoder can make frame and message in one buffer. Nothing here knows HTTP/2.
 */

/** What a handler may ask about its call. */
export interface CallContext {
  /** Aborts when the client goes away or its deadline passes. Made when first asked for. */
  readonly signal: AbortSignal;
}

/** One request, one reply. */
export interface UnaryRoute {
  readonly kind: 'unary';
  /**
   * The call may be given up when the client's deadline passes. False for writes: those are finished, since the client
   * would send a write again that was answered with DEADLINE_EXCEEDED.
   */
  readonly cancellable: boolean;
  /**
   * The call only reads, so that it may be put off while the client does not take the answers that it has asked for, and may be made again when there
   * was no room for its answer. Default: false.
   */
  readonly isRead?: boolean;
  /** `message` is a slice of the socket's buffer: whatever outlives the call must be copied. */
  handle(message: Buffer, call: CallContext): Promise<Reply>;
}

/** The outgoing side of a stream. */
export interface StreamCall extends CallContext {
  /**
   * Sends one frame, in parts or whole. False when more than the transport's bound waits for the client; `drained()` of
   * the handler is called once everything has gone out. The frame is taken in either case.
   */
  send(frame: Buffer | readonly Buffer[]): boolean;
  /** Resolves when everything sent has left the buffer or the stream is over; tells which: false when it is over. */
  flushed(): Promise<boolean>;
  /** Ends the stream well. */
  end(): void;
  /** Ends the stream with an error. */
  fail(error: unknown): void;
}

/** The incoming side of a stream. */
export interface StreamHandler {
  message(message: Buffer): void;
  /** The client has sent its last message. */
  halfClosed(): void;
  drained(): void;
  /** The stream is over, for whatever reason; called exactly once. */
  closed(): void;
}

/** Any number of requests and replies. */
export interface StreamRoute {
  readonly kind: 'stream';
  readonly type: 'server_stream' | 'client_stream' | 'bidi_stream';
  open(call: StreamCall): StreamHandler;
}

export type Route = UnaryRoute | StreamRoute;

/** Routes by path: `/package.Service/Method`. */
export type RouteTable = Readonly<Record<string, Route>>;

/** A method as an observer sees it. */
export interface MethodName {
  readonly service: string;
  readonly method: string;
  readonly type: 'unary' | StreamRoute['type'];
}

/** Is told about every call, so that somebody else can count. */
export interface CallObserver {
  started(method: MethodName): void;
  handled(method: MethodName, code: GrpcCode): void;
  messageReceived(method: MethodName): void;
  messageSent(method: MethodName): void;
  /** The server has ended a connection. */
  connectionEnded?(reason: EndReason): void;
}

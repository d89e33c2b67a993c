import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { FrameReader, type FrameSink, giveBack } from '@harikube/http2';
import type { Deadlines, Expiring } from '../deadlines.js';
import type { Http2Limits } from './limits.js';
import { currentTurn, shareOfTurn, useUpTurn } from './turn.js';

/** The connection that is read from. */
export interface ReadConnection {
  readonly limits: Http2Limits;
  readonly deadlines: Deadlines;
  /** What has come in is worked off, or as much of it as this turn allows. */
  turnEnded(): void;
  /** What has come in cannot be worked off. */
  fail(error: unknown): void;
}

/** Works off what comes in on one connection. A client that sends a lot takes turns with the others: what it sends meanwhile waits in its socket. */
export class TurnReader {
  /** `performance.now()` when bytes came in last. */
  now = performance.now();
  /** The turn under way, a number as `currentTurn` gives it. */
  turn = -1;
  private readonly frames: FrameReader;
  /** What the turn under way did not get to. */
  private unread: Buffer | null = null;
  /** The memory that is being read, where it is the connection's to give back, and what was lent before it came. */
  private memory: ArrayBufferLike | null = null;
  private lentBefore = 0;
  /** Milliseconds that this turn may take, and has taken so far. */
  private shareMs = 0;
  private spentMs = 0;
  /** Nothing is read until then. */
  private readonly restEnd: Expiring = { due: 0, expire: () => this.readOn() };
  private owesRest = false;
  /** It goes on by itself: after a rest, or in the next turn. */
  private isWaiting = false;

  constructor(
    private readonly socket: Duplex,
    private readonly sink: FrameSink,
    private readonly connection: ReadConnection,
  ) {
    this.frames = new FrameReader(sink);
  }

  /** The client's preface is complete. */
  get hasPreface(): boolean {
    return this.frames.hasPreface;
  }

  receive(chunk: Buffer): void {
    this.now = performance.now();
    if (this.unread === null) {
      // A socket has made it for this one read.
      this.memory = this.socket instanceof Socket ? chunk.buffer : null;
      this.lentBefore = this.sink.lent;
      this.read(chunk);
    } else {
      this.memory = null;
      this.read(Buffer.concat([this.unread, chunk]));
    }
  }

  /** Bytes that nobody looks at. */
  discard(chunk: Buffer): void {
    if (this.socket instanceof Socket) giveBack(chunk.buffer, this.sink, this.sink.lent);
  }

  /** Reads nothing for a while, once this turn is over, or the next one with something to read. */
  rest(): void {
    this.owesRest = true;
  }

  /** Nothing further is read. */
  stop(): void {
    this.unread = null;
    this.memory = null;
    this.connection.deadlines.remove(this.restEnd);
  }

  private read(chunk: Buffer): void {
    const { sink, socket, connection } = this;
    const { limits } = connection;
    const turn = currentTurn();
    if (turn !== this.turn) {
      this.turn = turn;
      this.shareMs = shareOfTurn(limits.turnMs, limits.fullTurns);
      this.spentMs = 0;
    }
    try {
      this.unread = this.frames.push(chunk, this.now + this.shareMs - this.spentMs);
    } catch (error) {
      connection.fail(error);
      return;
    }
    if (!sink.isReading) return;
    if (this.unread === null && this.memory !== null) {
      giveBack(this.memory, sink, this.lentBefore);
      this.memory = null;
    }
    connection.turnEnded();
    this.spentMs += performance.now() - this.now;
    if (!this.owesRest && this.unread === null && this.spentMs < this.shareMs) return;
    this.isWaiting = true;
    socket.pause();
    if (this.owesRest) {
      this.owesRest = false;
      connection.deadlines.add(this.restEnd, limits.restMs, this.now);
    } else {
      useUpTurn();
      setImmediate(() => this.readOn());
    }
  }

  private readOn(): void {
    const { unread } = this;
    this.unread = null;
    this.isWaiting = false;
    if (!this.sink.isReading) return;
    this.now = performance.now();
    if (unread !== null) this.read(unread);
    if (!this.isWaiting && this.sink.isReading) this.socket.resume();
  }
}

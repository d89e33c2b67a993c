import {
  ACK,
  DATA,
  GOAWAY,
  PING,
  PREFACE,
  RawConnection,
  rawFrame,
  RST_STREAM,
  SETTINGS,
  settings,
  windowUpdate,
} from '@harikube/etcd-api/spec';
import { setTimeout as delay } from 'node:timers/promises';

/** RFC 9113 section 7. */
const ERROR_NAMES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
];

/** What became of a client's connections. */
export interface FloodOutcome {
  readonly connections: number;
  /** How many the router has ended, by what it said. */
  readonly ended: Readonly<Record<string, number>>;
  /** Streams that it has reset, by code. */
  readonly resets: Readonly<Record<string, number>>;
}

/** A connection that reads what it is told and keeps next to nothing of it. */
export class FloodConnection {
  readonly resets = new Map<string, number>();
  readonly #raw: RawConnection;
  #goAway: string | null = null;
  #unacknowledged = 0;

  constructor(url: string) {
    this.#raw = new RawConnection(url, ({ type, flags, payload }) => {
      if (type === GOAWAY) this.#goAway = `GOAWAY ${ERROR_NAMES[payload.readUInt32BE(4)]}: ${payload.toString('utf8', 8)}`;
      if (type === RST_STREAM) count(this.resets, ERROR_NAMES[payload.readUInt32BE(0)] ?? 'unknown');
      if (type === DATA) this.#unacknowledged += payload.length;
      return (type === SETTINGS && flags === ACK) || (type === PING && flags === ACK);
    });
  }

  /** True once the router has ended it. */
  get isClosed(): boolean {
    return this.#raw.isClosed || this.#raw.isBroken;
  }

  /** How the router has ended it. */
  get end(): string {
    return this.#goAway ?? 'cut';
  }

  async greet(pairs: readonly (readonly [id: number, value: number])[]): Promise<void> {
    await this.#raw.flush(PREFACE, settings(...pairs), rawFrame(SETTINGS, ACK, 0));
  }

  /** False when the connection is over. */
  flush(...parts: readonly Buffer[]): Promise<boolean> {
    return this.#raw.flush(...parts);
  }

  /** Waits until everything sent before is worked off, and lets the router send more. */
  async reads(): Promise<void> {
    const bytes = this.#unacknowledged;
    this.#unacknowledged = 0;
    if (bytes > 0) await this.#raw.flush(windowUpdate(0, bytes), windowUpdate(1, bytes));
    this.#raw.frames.length = 0;
    await this.#raw.settled().catch(() => undefined); // it is over, as `flush` tells
  }

  pause(): void {
    this.#raw.pause();
  }

  resume(): void {
    this.#raw.resume();
  }

  destroy(): void {
    this.#raw.destroy();
  }
}

/** Pauses between two connections of a client whose connections are ended. */
const RECONNECT_MS = 5;

/** Who floods. */
export class FloodClient {
  readonly over: Promise<void>;
  #isFlooding = true;
  readonly #connections: FloodConnection[] = [];
  readonly #counted = new Map<string, number>();
  readonly #resets = new Map<string, number>();
  #ended = 0;

  constructor(
    private readonly url: string,
    seconds: number,
  ) {
    this.over = delay(seconds * 1000).then(() => void (this.#isFlooding = false));
  }

  get isFlooding(): boolean {
    return this.#isFlooding;
  }

  /** A connection on which nothing is said yet. */
  connect(): FloodConnection {
    const connection = new FloodConnection(this.url);
    this.#connections.push(connection);
    return connection;
  }

  async open(...pairs: readonly (readonly [id: number, value: number])[]): Promise<FloodConnection> {
    const connection = this.connect();
    await connection.greet(pairs);
    return connection;
  }

  /** Does the same on one connection after another. */
  async again(flood: (connection: FloodConnection) => Promise<void>): Promise<void> {
    while (this.isFlooding) {
      const connection = await this.open();
      await flood(connection);
      await this.pause(RECONNECT_MS);
    }
  }

  pause(milliseconds: number): Promise<void> {
    return delay(milliseconds);
  }

  /** Ends what is still there. */
  finish(): FloodOutcome {
    for (const connection of this.#connections) {
      if (connection.isClosed) {
        this.#ended++;
        count(this.#counted, connection.end);
      }
      for (const [code, times] of connection.resets) count(this.#resets, code, times);
      connection.destroy();
    }
    return {
      connections: this.#connections.length,
      ended: Object.fromEntries(this.#counted),
      resets: Object.fromEntries(this.#resets),
    };
  }
}

function count(counts: Map<string, number>, name: string, times = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + times);
}

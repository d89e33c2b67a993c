import { createConnection } from 'node:net';
import { GrpcSession } from '../differential/grpc-session.js';
import type { Outcome, RecordedCall, Request } from './history.js';
import { readAnswer, wireCall } from './wire.js';

const UNAVAILABLE = 14;
const LOST = -1;
/** Pause before a router that is away is looked for again. */
const RECONNECT_PAUSE_MS = 20;

export interface RecordingClientOptions {
  /** http://HOST:PORT of the router; asked for each connection. */
  readonly address: () => string;
  readonly id: number;
  /** A call without an answer for so long is given up: nobody knows what became of it. */
  readonly answerWithinMs: number;
  readonly onCall: (call: RecordedCall) => void;
}

/** A client that keeps what it asked and what it was told, and connects anew when the router has gone. */
export class RecordingClient {
  #session: GrpcSession | null = null;
  #isClosed = false;

  constructor(private readonly options: RecordingClientOptions) {}

  get id(): number {
    return this.options.id;
  }

  /** The connection; waits for a router. Null: the client was closed. */
  async connect(): Promise<GrpcSession | null> {
    while (this.#session === null && !this.#isClosed) {
      const address = this.options.address();
      if (await isListening(address)) {
        if (!this.#isClosed) this.#session ??= new GrpcSession(address);
      } else await new Promise((resolve) => setTimeout(resolve, RECONNECT_PAUSE_MS));
    }
    return this.#session;
  }

  /** Gives up a connection, unless that has happened. */
  lose(session: GrpcSession): void {
    if (this.#session !== session) return;
    this.#session = null;
    session.close();
  }

  /** The outcome; null: the client was closed before the call. */
  async call(request: Request): Promise<Outcome | null> {
    const session = await this.connect();
    if (session === null) return null;
    const { id, onCall } = this.options;
    const startedAt = performance.now();
    const outcome = await this.#exchange(session, request);
    onCall({ client: id, request, startedAt, endedAt: performance.now(), outcome });
    return outcome;
  }

  close(): void {
    this.#isClosed = true;
    this.#session?.close();
    this.#session = null;
  }

  async #exchange(session: GrpcSession, request: Request): Promise<Outcome> {
    const wire = wireCall(request);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), this.options.answerWithinMs)));
    try {
      const ended = await Promise.race([session.exchange(wire.path, [wire.bytes]), late]);
      if (ended === null) {
        this.lose(session);
        return { type: 'unknown', text: `no answer within ${this.options.answerWithinMs} ms` };
      }
      const { code, text, messages } = ended;
      const [answer] = messages;
      if (code === 0 && answer !== undefined) return { type: 'done', ...readAnswer(request, wire, answer) };
      const isLost = code === LOST || (code === UNAVAILABLE && text === 'etcdserver: server stopped');
      if (isLost) this.lose(session);
      if (isLost || (code === UNAVAILABLE && text === 'etcdserver: request timed out')) return { type: 'unknown', text };
      return { type: 'refused', code, text };
    } catch (error) {
      // The connection was gone before the call.
      this.lose(session);
      return { type: 'refused', code: UNAVAILABLE, text: error instanceof Error ? error.message : String(error) };
    } finally {
      clearTimeout(timer);
    }
  }
}

function isListening(address: string): Promise<boolean> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve) => {
    const socket = createConnection({ host: hostname, port: Number(port) });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

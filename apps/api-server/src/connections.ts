import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  constants,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type ServerHttp2Session,
} from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { AnnouncingSocket } from './announcing-socket.js';
import { type ApiAnswer, type ApiRequest, type PeerCertificate, RequestHeaders } from './exchange.js';
import { tooLarge } from './status-answer.js';

export type RawRequest = IncomingMessage | Http2ServerRequest;
export type RawResponse = ServerResponse | Http2ServerResponse;

const MAX_CHAIN = 8;
const TOO_LARGE = 413;

/** The connections of the server: who is at their other end, and how they are ended without losing a request. */
export class Connections {
  readonly #sessions = new Map<Http2Session, EndingConnection>();
  readonly #peers = new WeakMap<object, { readonly peer: PeerCertificate | null }>();
  readonly #idle = new Set<() => void>();
  #active = 0;
  #isEnding = false;

  /** How long a request may be on its way that its client began before it read that the connection ends, in milliseconds. */
  constructor(private readonly noticeMs = 500) {}

  /** Hands the connections of HTTP/2 to their server, which has none yet. */
  follow(server: Http2Server): (socket: TLSSocket) => void {
    let current: AnnouncingSocket | undefined;
    server.on('session', (session) => {
      if (current === undefined) throw new Error('a session without its socket');
      const connection = new EndingConnection(session, current, this.noticeMs);
      this.#sessions.set(session, connection);
      session.once('close', () => this.#sessions.delete(session));
      // A client that misbehaves ends its own connection; there is nothing to do about it.
      session.on('error', () => undefined);
      if (this.#isEnding) connection.end();
    });
    return (socket) => {
      current = new AnnouncingSocket(socket);
      server.emit('connection', current);
    };
  }

  /** Requests that are under way. */
  get active(): number {
    return this.#active;
  }

  /** Whether somebody may still send something. */
  get isUsed(): boolean {
    return this.#active > 0 || this.#sessions.size > 0;
  }

  requestOf(raw: RawRequest, response: RawResponse, target: string): ApiRequest {
    const gone = new AbortController();
    // Whether it was answered before is nothing to go by: a stream of HTTP/2 that its client has reset counts as written.
    response.once('close', () => gone.abort());
    return {
      method: raw.method ?? '',
      target,
      headers: new RequestHeaders(raw.rawHeaders),
      peer: this.#peerOf(raw),
      sourceAddress: this.#socketOf(raw).remoteAddress ?? '',
      signal: gone.signal,
      readBody: (limitBytes) => readBody(raw, limitBytes),
    };
  }

  /** Counts a request until its answer has been taken, or its client is gone. */
  begin(response: RawResponse): void {
    this.#active++;
    response.once('close', () => {
      this.#active--;
      if (this.#active === 0) for (const resolve of [...this.#idle]) resolve();
    });
  }

  /** Resolves when no request is under way. */
  async idle(): Promise<void> {
    if (this.#active === 0) return;
    const done = Promise.withResolvers<void>();
    this.#idle.add(done.resolve);
    await done.promise;
    this.#idle.delete(done.resolve);
  }

  send(raw: RawRequest, response: RawResponse, answer: ApiAnswer): void {
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(answer.headers)) headers[name] = typeof value === 'string' ? value : [...value];
    if (raw.httpVersionMajor === 2) {
      const http2 = response as Http2ServerResponse;
      const { stream } = raw as Http2ServerRequest;
      // What is still to come of a body that nobody reads is not wanted; the answer counts all the same.
      http2.once('finish', () => {
        if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
      });
      http2.writeHead(answer.code, headers);
      http2.end(answer.body);
      if (answer.endsConnection === true && stream.session !== undefined) this.#sessions.get(stream.session)?.end();
      return;
    }
    const http1 = response as ServerResponse;
    const isUnread = answer.code === TOO_LARGE;
    if (answer.endsConnection === true || isUnread || this.#isEnding) headers['connection'] = 'close';
    http1.writeHead(answer.code, headers);
    http1.end(answer.body);
  }

  /** Ends every connection, those to come included, as soon as its client has heard of it and sends nothing more; until then it is answered. */
  end(): void {
    this.#isEnding = true;
    this.renew();
  }

  /** The clients come again on new connections, for which the authorities are the ones in force by then. */
  renew(): void {
    for (const connection of this.#sessions.values()) connection.end();
  }

  /** Ends what is left after so long. */
  async destroy(graceMs: number): Promise<void> {
    const closed = [...this.#sessions.keys()].map((session) => new Promise((resolve) => session.once('close', resolve)));
    const late = setTimeout(() => {
      for (const { socket } of this.#sessions.values()) socket.tls.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(late);
  }

  #peerOf(raw: RawRequest): PeerCertificate | null {
    const socket = this.#socketOf(raw);
    const known = this.#peers.get(socket);
    if (known !== undefined) return known.peer;
    // A stream whose connection has gone meanwhile has none.
    const peer = 'getPeerX509Certificate' in socket ? peerOf(socket) : null;
    this.#peers.set(socket, { peer });
    return peer;
  }

  #socketOf(raw: RawRequest): Socket | TLSSocket {
    const { session } = raw.httpVersionMajor === 2 ? (raw as Http2ServerRequest).stream : { session: undefined };
    return session === undefined ? raw.socket : (this.#sessions.get(session)?.socket.tls ?? raw.socket);
  }
}

/** How long a client may take to read that a connection ends. */
const HEARD_MS = 10_000;

/** A connection of HTTP/2 that can be ended without losing a request. */
class EndingConnection {
  #openStreams = 0;
  #isEnding = false;
  #isHeard = false;

  constructor(
    private readonly session: ServerHttp2Session,
    readonly socket: AnnouncingSocket,
    private readonly noticeMs: number,
  ) {
    session.on('stream', (stream) => {
      this.#openStreams++;
      stream.once('close', () => {
        this.#openStreams--;
        this.#closeIfOver();
      });
    });
  }

  /** Ends the connection as soon as the client has heard of it, and what it sent until then is answered. */
  end(): void {
    if (this.#isEnding || this.session.closed || this.session.destroyed) return;
    this.#isEnding = true;
    this.socket.announceEnd();
    void this.#closeWhenHeard();
  }

  async #closeWhenHeard(): Promise<void> {
    const { session, noticeMs } = this;
    const { promise, resolve } = Promise.withResolvers<void>();
    const late = setTimeout(resolve, HEARD_MS);
    session.once('close', resolve);
    // A busy client reads the announcement late: it has when it answers what comes behind it.
    session.ping(() => resolve());
    await promise;
    clearTimeout(late);
    await delay(noticeMs, undefined, { ref: false });
    this.#isHeard = true;
    this.#closeIfOver();
  }

  #closeIfOver(): void {
    const { session } = this;
    if (this.#isHeard && this.#openStreams === 0 && !session.closed && !session.destroyed) session.close();
  }
}

function peerOf(socket: TLSSocket): PeerCertificate | null {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return null;
  const intermediates: X509Certificate[] = [];
  for (let next = leaf.issuerCertificate; next !== undefined && intermediates.length < MAX_CHAIN; next = next.issuerCertificate)
    intermediates.push(next);
  return { leaf, intermediates, isVerified: socket.authorized };
}

async function readBody(raw: RawRequest, limitBytes: number): Promise<Buffer> {
  const announced = Number(raw.headers['content-length'] ?? 0);
  if (announced > limitBytes) throw tooLarge(limitBytes);
  const parts: Buffer[] = [];
  let length = 0;
  return await new Promise<Buffer>((resolve, reject) => {
    const onData = (part: Buffer): void => {
      length += part.length;
      if (length <= limitBytes) {
        parts.push(part);
        return;
      }
      raw.off('data', onData);
      reject(tooLarge(limitBytes));
    };
    raw.on('data', onData);
    raw.once('end', () => resolve(Buffer.concat(parts)));
    raw.once('error', reject);
    raw.once('close', () => reject(new Error('the request was cut')));
  });
}

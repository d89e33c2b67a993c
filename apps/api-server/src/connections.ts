import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  constants,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type ServerHttp2Session,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { type ApiAnswer, type ApiRequest, type PeerCertificate, RequestHeaders } from './exchange.js';
import { tooLarge } from './status-answer.js';

export type RawRequest = IncomingMessage | Http2ServerRequest;
export type RawResponse = ServerResponse | Http2ServerResponse;

/** The highest stream there can be: a GOAWAY that names it says that there will be an end, and refuses nothing yet. */
const LAST_STREAM = 2 ** 31 - 1;
const MAX_CHAIN = 8;
const TOO_LARGE = 413;

/** The connections of the server: who is at their other end, and how they are ended without losing a request. */
export class Connections {
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #peers = new WeakMap<object, { readonly peer: PeerCertificate | null }>();
  readonly #idle = new Set<() => void>();
  #active = 0;
  #isEnding = false;

  /** Of a server that does not listen yet. */
  follow(server: Http2SecureServer): void {
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.once('close', () => this.#sessions.delete(session));
      // A client that misbehaves ends its own connection; there is nothing to do about it.
      session.on('error', () => undefined);
      if (this.#isEnding) announceEnd(session);
    });
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
      sourceAddress: raw.socket.remoteAddress ?? '',
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
      if (answer.endsConnection === true && stream.session !== undefined) retire(stream.session);
      return;
    }
    const http1 = response as ServerResponse;
    const isUnread = answer.code === TOO_LARGE;
    if (answer.endsConnection === true || isUnread || this.#isEnding) headers['connection'] = 'close';
    http1.writeHead(answer.code, headers);
    http1.end(answer.body);
  }

  /** Tells every client that its connection ends soon; what is sent on it until then is still answered. */
  announceEnd(): void {
    this.#isEnding = true;
    for (const session of this.#sessions) announceEnd(session);
  }

  /** Takes nothing more on the connections that there are; what is under way is answered. */
  closeSessions(): void {
    for (const session of this.#sessions) session.close();
  }

  /** The clients come again on new connections, for which the authorities are the ones in force by then. */
  renew(): void {
    for (const session of this.#sessions) retire(session);
  }

  /** Ends what is left after so long. */
  async destroy(graceMs: number): Promise<void> {
    const closed = [...this.#sessions].map((session) => new Promise((resolve) => session.once('close', resolve)));
    const late = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(late);
  }

  #peerOf(raw: RawRequest): PeerCertificate | null {
    const owner: object = raw.httpVersionMajor === 2 ? ((raw as Http2ServerRequest).stream.session ?? raw) : raw.socket;
    const known = this.#peers.get(owner);
    if (known !== undefined) return known.peer;
    const socket = raw.socket as TLSSocket;
    // A stream whose connection has gone meanwhile has none.
    const peer = typeof socket.getPeerX509Certificate === 'function' ? peerOf(socket) : null;
    this.#peers.set(owner, { peer });
    return peer;
  }
}

function announceEnd(session: ServerHttp2Session): void {
  if (!session.closed && !session.destroyed) session.goaway(0, LAST_STREAM);
}

/** How long a client may take to hear that a connection ends. */
const NOTICE_MS = 1000;

/** First the announcement and then the end, so that no request is sent into it. */
function retire(session: Http2Session): void {
  if (session.closed || session.destroyed) return;
  session.goaway(0, LAST_STREAM);
  setTimeout(() => session.close(), NOTICE_MS).unref();
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

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Deadlines, Expiring } from './deadlines.js';
import { answerPage, type HttpAnswer, type HttpPages } from './http-pages.js';

/** Request line and header fields. */
const MAX_HEAD_BYTES = 8 * 1024;
const MAX_METHOD_BYTES = 16;
const HEAD_END = Buffer.from('\r\n\r\n');

export interface Http1Environment {
  readonly pages: HttpPages;
  readonly deadlines: Deadlines;
  /** From the first byte to the end of the connection. */
  readonly lifetimeMs: number;
}

/** Answers one HTTP/1 request and closes: probes and people ask seldom, so a connection holds 8 KiB at most and not for long. */
export class Http1Connection implements Expiring {
  due = 0;
  private head: Buffer = Buffer.alloc(0);
  private isAnswered = false;

  constructor(
    private readonly socket: Socket,
    private readonly environment: Http1Environment,
  ) {}

  /** `first`: what came before anybody knew what the client speaks. */
  start(first: Buffer | null): void {
    const { socket, environment } = this;
    environment.deadlines.add(this, environment.lifetimeMs, performance.now());
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('close', () => environment.deadlines.remove(this));
    if (first !== null) this.receive(first);
  }

  expire(): void {
    this.socket.destroy();
  }

  private receive(chunk: Buffer): void {
    if (this.isAnswered) return;
    this.head = Buffer.concat([this.head, chunk]);
    // What is no HTTP at all would not understand an answer.
    if (!/^[A-Z]+( |$)/.test(this.head.toString('latin1', 0, MAX_METHOD_BYTES))) return this.expire();
    const end = this.head.indexOf(HEAD_END);
    if (end < 0 && this.head.length <= MAX_HEAD_BYTES) return;
    this.isAnswered = true;
    const [, method, target] = /^([A-Z]+) (\S+) HTTP\/1\.[01]\r\n/.exec(this.head.toString('latin1', 0, Math.max(end, 0) + 2)) ?? [];
    this.head = Buffer.alloc(0);
    if (end < 0 || method === undefined || target === undefined) {
      this.send({ status: 400, contentType: 'text/plain; charset=utf-8', body: '400 Bad Request', headers: [] });
    } else void answerPage(this.environment.pages, method, target).then((answer) => this.send(answer));
  }

  private send({ status, contentType, body, headers }: HttpAnswer): void {
    const fields = [
      ['content-type', contentType],
      ['content-length', String(Buffer.byteLength(body))],
      ['connection', 'close'],
      ...headers,
    ];
    const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    this.socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`);
  }
}

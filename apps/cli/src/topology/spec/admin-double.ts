import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly token: string;
  readonly body: unknown;
}

/** Plays the admin API of a router: the answer to each path, whatever is asked. */
export class AdminDouble {
  readonly asked: Asked[] = [];
  readonly #answers = new Map<string, { readonly code: number; readonly body: object }>();
  readonly #server: Server;
  readonly #folder: string;
  readonly tokenFile: string;

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'harikube-admin-'));
    this.tokenFile = join(this.#folder, 'token');
    writeFileSync(this.tokenFile, 'opensesame\n');
    this.#server = createServer((request, response) => {
      void this.#take(request).then((path) => {
        const { code, body } = this.#answers.get(path) ?? { code: 404, body: { message: `there is no ${path}` } };
        response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
    });
  }

  static async start(): Promise<AdminDouble> {
    const double = new AdminDouble();
    await new Promise<void>((resolve) => double.#server.listen(0, '127.0.0.1', resolve));
    return double;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Flags that lead to it. */
  get flags(): { readonly adminUrl: string; readonly tokenFile: string } {
    return { adminUrl: this.url, tokenFile: this.tokenFile };
  }

  answer(path: string, body: object, code = 200): void {
    this.#answers.set(path, { code, body });
  }

  async close(): Promise<void> {
    rmSync(this.#folder, { recursive: true });
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request: IncomingMessage): Promise<string> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString();
    const { pathname, search } = new URL(request.url ?? '', 'http://spec');
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    this.asked.push({ method: request.method ?? '', path: pathname + search, token, body: text === '' ? null : JSON.parse(text) });
    return pathname;
  }
}

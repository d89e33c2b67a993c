import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { ConfigError, type Logger } from '@harikube/platform';
import { AdminRequestError } from './admin-request.js';

export interface AdminAccessOptions {
  /** Null: no token opens the API. */
  readonly tokenFile: string | null;
  /** Whether client certificates are asked for, of an authority that TLS has checked by then. */
  readonly takesCertificates: boolean;
  readonly logger: Logger;
}

/** Who may use the admin API: who shows the token, or a certificate of the authority. */
export class AdminAccess {
  readonly #options: AdminAccessOptions;
  #complaint = '';

  /** Throws `ConfigError` when the token cannot be read. */
  constructor(options: AdminAccessOptions) {
    this.#options = options;
    const { tokenFile } = options;
    if (tokenFile === null) return;
    let token: string;
    try {
      token = readFileSync(tokenFile, 'utf8').trim();
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
      throw new ConfigError([`--admin-token-file=${tokenFile} cannot be read: ${reason}`]);
    }
    if (token === '') throw new ConfigError([`--admin-token-file=${tokenFile} is empty; write a long random text into it`]);
  }

  /** Throws `AdminRequestError` when the request may not be answered. */
  async check(request: IncomingMessage): Promise<void> {
    const { tokenFile, takesCertificates } = this.#options;
    const { socket } = request;
    if (takesCertificates && socket instanceof TLSSocket) {
      if (socket.authorized) return;
      const isShown = Object.keys(socket.getPeerCertificate()).length > 0;
      if (isShown && request.headers.authorization === undefined) {
        throw new AdminRequestError(
          403,
          'the client certificate is not of the authority that opens the admin API, or not valid at this time',
        );
      }
    }
    const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]?.trim();
    const ways = [...(tokenFile === null ? [] : ['the bearer token']), ...(takesCertificates ? ['a client certificate'] : [])].join(' or ');
    if (given === undefined || tokenFile === null) throw new AdminRequestError(401, `the admin API asks who is calling; show ${ways}`);
    if (!isEqual(given, await this.#token(tokenFile))) throw new AdminRequestError(401, 'the bearer token is not the one of the admin API');
  }

  async #token(file: string): Promise<string> {
    let reason = 'it is empty';
    try {
      const token = (await readFile(file, 'utf8')).trim();
      if (token !== '') {
        this.#complaint = '';
        return token;
      }
    } catch (error) {
      reason = (error as Error).message;
    }
    if (reason !== this.#complaint)
      this.#options.logger.error('the token of the admin API cannot be read, nobody is let in by it', { file, reason });
    this.#complaint = reason;
    throw new AdminRequestError(503, 'the token of the admin API cannot be read at this time');
  }
}

/** Takes as long for a token that begins right as for one that does not. */
function isEqual(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}

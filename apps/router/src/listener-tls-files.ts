import { readFileSync } from 'node:fs';
import { basename, dirname, relative } from 'node:path';
import { ConfigError, type Logger, TlsFiles } from '@harikube/platform';
import type { ListenerTls } from './router.config.js';

const TLS_POLL_MS = 10_000;

export interface ListenerTlsFilesOptions {
  /** What is served with them, for the log. */
  readonly what: string;
  /** The flag that names the file of the clients' authority. */
  readonly caFlag: string;
  readonly logger: Logger;
}

/** What node:tls takes; PEM. */
export interface TlsContext {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
}

/** The files of TLS, followed as they are replaced; what cannot be used leaves the ones before in force. */
export class ListenerTlsFiles {
  readonly #files: TlsFiles;
  readonly #clientCaFile: string | null;
  readonly #logger: Logger;
  readonly #what: string;
  #ca: Buffer | undefined;
  #use: ((context: TlsContext) => void) | null = null;
  #poll: NodeJS.Timeout | null = null;
  #complaint = '';

  /** Throws `ConfigError` when they cannot be served with. */
  constructor({ certFile, keyFile, clientCaFile }: ListenerTls, { what, caFlag, logger }: ListenerTlsFilesOptions) {
    const folder = dirname(certFile);
    this.#files = TlsFiles.load({ folder, certName: basename(certFile), keyName: relative(folder, keyFile), logger });
    this.#clientCaFile = clientCaFile;
    this.#logger = logger;
    this.#what = what;
    try {
      this.#ca = clientCaFile === null ? undefined : readFileSync(clientCaFile);
    } catch (error) {
      throw new ConfigError([`${caFlag}=${clientCaFile} cannot be read: ${(error as Error).message}`]);
    }
  }

  /** PEM, with its chain. */
  get certificate(): Buffer {
    return this.#files.pair.cert;
  }

  get context(): TlsContext {
    const { cert, key } = this.#files.pair;
    return this.#ca === undefined ? { cert, key } : { cert, key, ca: this.#ca };
  }

  start(use: (context: TlsContext) => void): void {
    this.#use = use;
    this.#files.onChange(() => this.#renew());
    this.#files.start();
    this.#poll = setInterval(() => this.#checkAuthority(), TLS_POLL_MS).unref();
  }

  check(): void {
    this.#files.check();
    this.#checkAuthority();
  }

  close(): void {
    this.#files.close();
    if (this.#poll !== null) clearInterval(this.#poll);
  }

  #checkAuthority(): void {
    if (this.#clientCaFile === null) return;
    const former = this.#ca;
    try {
      this.#ca = readFileSync(this.#clientCaFile);
      if (former === undefined || !this.#ca.equals(former)) this.#renew();
      this.#complaint = '';
    } catch (error) {
      this.#ca = former;
      const reason = (error as Error).message;
      if (reason !== this.#complaint) {
        this.#logger.error(`the authority of ${this.#what} cannot be used, the one before stays`, { file: this.#clientCaFile, reason });
      }
      this.#complaint = reason;
    }
  }

  #renew(): void {
    this.#use?.(this.context);
  }
}

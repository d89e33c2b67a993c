import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, relative } from 'node:path';
import { ConfigError, type Logger, TlsFiles } from '@harikube/platform';
import type { ListenerTls } from './router.config.js';

const TLS_POLL_MS = 10_000;

export interface ListenerTlsFilesOptions {
  /** What is served with them, for the log. */
  readonly what: string;
  /** What the flags that name the files begin with: `--server` in `--server-cert-file`, `--server-key-file` and `--server-ca-file`. */
  readonly flags: string;
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

  /** Reads them. Throws `ConfigError`, which names the flags, when they cannot be served with. */
  constructor({ certFile, keyFile, clientCaFile }: ListenerTls, { what, flags, logger }: ListenerTlsFilesOptions) {
    this.#clientCaFile = clientCaFile;
    this.#logger = logger;
    this.#what = what;
    const folder = dirname(certFile);
    const readPair = (): TlsFiles => TlsFiles.load({ folder, certName: basename(certFile), keyName: relative(folder, keyFile), logger });
    const given = { [`${flags}-cert-file`]: certFile, [`${flags}-key-file`]: keyFile };
    this.#files = readFor(given, readPair);
    this.#ca = clientCaFile === null ? undefined : readFor({ [`${flags}-ca-file`]: clientCaFile }, () => readFileSync(clientCaFile));
  }

  /** PEM, with its chain. */
  get certificate(): Buffer {
    return this.#files.pair.cert;
  }

  get context(): TlsContext {
    const { cert, key } = this.#files.pair;
    return this.#ca === undefined ? { cert, key } : { cert, key, ca: this.#ca };
  }

  /** Begins to follow the files. What has changed since they were read is told before it returns. */
  start(use: (context: TlsContext) => void): void {
    this.#use = use;
    this.#files.onChange(() => this.#renew());
    this.#files.start();
    this.#checkAuthority();
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

function readFor<T>(given: Readonly<Record<string, string>>, read: () => T): T {
  const settings = Object.entries(given).map(([flag, file]) => ({ setting: `${flag}=${file}`, file }));
  const missing = settings.filter(({ file }) => !existsSync(file));
  if (missing.length > 0) throw new ConfigError(missing.map(({ setting }) => `${setting} cannot be read: there is no such file`));
  try {
    return read();
  } catch (error) {
    throw new ConfigError([`${settings.map(({ setting }) => setting).join(' and ')}: ${(error as Error).message}`]);
  }
}

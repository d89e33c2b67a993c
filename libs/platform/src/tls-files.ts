import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { isNativeError } from 'node:util/types';
import { ConfigError } from './flags.js';
import type { Logger } from './logger.js';

/** A certificate with the chain after it, and its key; both PEM. */
export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface TlsFilesOptions {
  readonly folder: string;
  readonly certName?: string;
  readonly keyName?: string;
  readonly logger: Logger;
}

/** Looks by itself this often: some file systems tell nobody of a change. */
const POLL_MS = 10_000;
/** The two files of a pair are written one after the other; a look in between would find halves of two pairs. */
const SETTLE_MS = 100;

/**
 * A certificate and its key in a folder, followed as they are replaced there: in place, by a rename, or by the swap of the link `..data` with which
 * the kubelet changes all files of a Secret at once. A pair that cannot be used changes nothing: the one before stays in force.
 */
export class TlsFiles {
  readonly #options: Required<TlsFilesOptions>;
  readonly #listeners = new Set<(pair: TlsPair) => void>();
  #pair: TlsPair;
  /** What was complained of last, so that it is said once and not at every look. */
  #complaint = '';
  #watcher: FSWatcher | null = null;
  #poll: NodeJS.Timeout | null = null;
  #settling: NodeJS.Timeout | null = null;

  private constructor(options: Required<TlsFilesOptions>, pair: TlsPair) {
    this.#options = options;
    this.#pair = pair;
  }

  /** Reads the pair; throws `ConfigError` with a sentence when it cannot be served with. */
  static load(options: TlsFilesOptions): TlsFiles {
    const { certName = 'tls.crt', keyName = 'tls.key' } = options;
    const complete = { ...options, certName, keyName };
    try {
      return new TlsFiles(complete, readPair(complete));
    } catch (error) {
      throw new ConfigError([`no TLS certificate to serve with: ${reasonOf(error)}`]);
    }
  }

  /** What is in force. */
  get pair(): TlsPair {
    return this.#pair;
  }

  /** Told of each pair after the first. Ends with what it returns. */
  onChange(listener: (pair: TlsPair) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the files until `close`, or until the signal aborts. Keeps no process alive. */
  start(signal?: AbortSignal): void {
    if (this.#poll !== null || signal?.aborted === true) return;
    const { folder, logger } = this.#options;
    this.#poll = setInterval(() => this.check(), POLL_MS).unref();
    signal?.addEventListener('abort', () => this.close(), { once: true });
    try {
      this.#watcher = watch(folder, { persistent: false }, () => this.#checkSoon());
      this.#watcher.on('error', () => this.#unwatch());
    } catch (error) {
      // The limit on watches of this user, most likely; the poll does without.
      logger.debug('cannot watch the folder of the TLS certificate, looking at intervals', { folder, err: error });
    }
    // What changed between the load and the start.
    this.check();
  }

  close(): void {
    this.#unwatch();
    if (this.#poll !== null) clearInterval(this.#poll);
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#poll = null;
    this.#settling = null;
  }

  /** Looks at the files at once; what follows them calls it too. Does not throw. */
  check(): void {
    const { folder, logger } = this.#options;
    let pair: TlsPair;
    try {
      pair = readPair(this.#options);
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== this.#complaint)
        logger.error('the TLS certificate that is there cannot be used, the one before stays', { folder, reason });
      this.#complaint = reason;
      return;
    }
    this.#complaint = '';
    if (pair.cert.equals(this.#pair.cert) && pair.key.equals(this.#pair.key)) return;
    this.#pair = pair;
    logger.info('TLS certificate replaced', { folder, notAfter: new X509Certificate(pair.cert).validTo });
    for (const listener of this.#listeners) listener(pair);
  }

  #checkSoon(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      this.check();
    }, SETTLE_MS).unref();
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = null;
  }
}

/** Throws a sentence for what cannot be served with; an expired certificate can, and its clients say so. */
function readPair({ folder, certName, keyName }: Required<TlsFilesOptions>): TlsPair {
  const certFile = join(folder, certName);
  const keyFile = join(folder, keyName);
  const pair = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const certificate = parsed(certFile, 'a certificate', () => new X509Certificate(pair.cert));
  const key = parsed(keyFile, 'a private key without a passphrase', () => createPrivateKey(pair.key));
  if (!certificate.checkPrivateKey(key)) throw new Error(`${keyFile} is not the key of ${certFile}`);
  // Also reads the chain.
  parsed(certFile, 'a chain of certificates that TLS takes', () => createSecureContext(pair));
  return pair;
}

/** The reader's own error might show what is in the file. */
function parsed<T>(file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Error(`${file} does not hold ${what} in PEM`);
  }
}

function reasonOf(error: unknown): string {
  return isNativeError(error) ? error.message : String(error);
}

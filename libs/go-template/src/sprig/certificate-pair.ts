import { createPrivateKey, X509Certificate } from 'node:crypto';
import { FunctionError, type TemplateFunction } from '../template-function.js';
import { TypedValue } from '../value.js';
import { decoded } from './byte-text.js';
import { base64Decoded, EncodingError } from './encoding.js';

const BEGIN = '-----BEGIN CERTIFICATE-----';

/** A certificate and its key, both as PEM. */
export class CertificatePair extends TypedValue {
  readonly type = 'sprig.certificate';
  readonly #cert: string;
  readonly #key: string;

  /** Both are base64 of PEM. Throws a FunctionError for what is none. */
  constructor(cert: string, key: string) {
    super();
    this.#cert = pemOf(cert, 'certificate');
    this.#key = pemOf(key, 'private key');
    const block = this.#cert.slice(Math.max(0, this.#cert.indexOf(BEGIN)));
    if (!block.startsWith(BEGIN)) throw new FunctionError('unable to decode certificate');
    checked('error parsing certificate: decodedCert.Bytes', () => new X509Certificate(block));
    checked('error parsing private key', () => createPrivateKey(this.#key));
  }

  toString(): string {
    return `{${this.#cert} ${this.#key}}`;
  }

  override method(name: string): TemplateFunction | undefined {
    if (name === 'Cert') return { takes: 0, isVariadic: false, run: () => this.#cert };
    return name === 'Key' ? { takes: 0, isVariadic: false, run: () => this.#key } : undefined;
  }
}

function pemOf(base64: string, what: string): string {
  try {
    return decoded(base64Decoded(base64));
  } catch (error) {
    if (error instanceof EncodingError) throw new FunctionError(`unable to decode base64 ${what}`, { cause: error });
    throw error;
  }
}

/** OpenSSL says in its own words what is wrong. */
function checked(what: string, read: () => unknown): void {
  try {
    read();
  } catch (error) {
    throw new FunctionError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

import type { X509Certificate } from 'node:crypto';

/** A request as far as it can be understood without the framework that took it. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  readonly headers: RequestHeaders;
  /** The certificate that the client showed; null: none. */
  readonly peer: PeerCertificate | null;
  readonly sourceAddress: string;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
  /** All of it; throws a `StatusError` (413) as soon as it is longer than that, without reading on. */
  readBody(limitBytes: number): Promise<Buffer>;
}

export interface ApiAnswer {
  readonly code: number;
  /** Names are in small letters. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string | Buffer;
  /** The connection is not to be used for another request. */
  readonly endsConnection?: boolean;
}

export interface PeerCertificate {
  readonly leaf: X509Certificate;
  /** What the client sent beside it. */
  readonly intermediates: readonly X509Certificate[];
  /** TLS itself found that the chain ends in one of the authorities that it knows, that no certificate in it has expired, and that it is a client's. */
  readonly isVerified: boolean;
}

/** Headers with their values in order: a group of a user may have a comma in its name, so that a joined list cannot be taken apart. */
export class RequestHeaders {
  readonly #values = new Map<string, string[]>();

  /** Of a list in which names and values take turns. */
  constructor(raw: readonly string[]) {
    for (let index = 0; index + 1 < raw.length; index += 2) {
      const name = (raw[index] ?? '').toLowerCase();
      const values = this.#values.get(name);
      if (values === undefined) this.#values.set(name, [raw[index + 1] ?? '']);
      else values.push(raw[index + 1] ?? '');
    }
  }

  /** The first value. */
  get(name: string): string | undefined {
    return this.#values.get(name.toLowerCase())?.[0];
  }

  all(name: string): readonly string[] {
    return this.#values.get(name.toLowerCase()) ?? [];
  }

  /** The names, in small letters, that begin so. */
  startingWith(prefix: string): string[] {
    const start = prefix.toLowerCase();
    return [...this.#values.keys()].filter((name) => name.startsWith(start));
  }
}

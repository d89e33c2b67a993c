import { createHmac } from 'node:crypto';

export type HashType = 'SHA256' | 'SHA512';

export interface SigningKeys {
  readonly current: Uint8Array;
  /** Signs too while keys rotate. */
  readonly previous?: Uint8Array;
}

export interface Timestamped {
  readonly seconds: number;
  readonly id: string;
}

/** Scheme `Body`: the HMAC of the body in lower-case hex. It has room for one signature: the current key's. */
export function bodySignature(hash: HashType, { current }: SigningKeys, body: Uint8Array): string {
  return hmac(hash, current, [body]);
}

/**
 * Scheme `Timestamped`: `t=SECONDS,v1=HEX`, and one more `v1` by the previous key when there is one. What is signed is `SECONDS.ID.BODY`, so that a
 * request can be neither repeated later nor be taken for another event.
 */
export function timestampedSignature(hash: HashType, keys: SigningKeys, { seconds, id }: Timestamped, body: Uint8Array): string {
  const parts = [`${seconds}.${id}.`, body];
  const signatures = [keys.current, ...(keys.previous === undefined ? [] : [keys.previous])].map((key) => `v1=${hmac(hash, key, parts)}`);
  return [`t=${seconds}`, ...signatures].join(',');
}

function hmac(hash: HashType, key: Uint8Array, parts: readonly (string | Uint8Array)[]): string {
  const mac = createHmac(hash === 'SHA256' ? 'sha256' : 'sha512', key);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
}

import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { HTTPTrigger, SecretKeyReference } from '@harikube/crds';
import type { TlsOptions } from './address-policy.js';
import { UnsendableError } from './unsendable-error.js';

const MIN_VERSION = 'TLSv1.2';
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

type Tls = NonNullable<NonNullable<HTTPTrigger['spec']['auth']>['tls']>;

export interface TlsSource {
  readonly tls: Tls | undefined;
  readonly allowsInsecure: boolean;
  /** Throws `UnsendableError`. */
  readonly secret: (ref: SecretKeyReference) => Buffer;
}

/** How the target is asked over TLS. Throws `UnsendableError`: a Secret is missing or holds no such thing, or it is not allowed. */
export function tlsOptions({ tls, allowsInsecure, secret }: TlsSource): TlsOptions {
  if (tls === undefined) return { minVersion: MIN_VERSION };
  const { caRef, certRef, keyRef, insecureSkipVerify } = tls;
  if (insecureSkipVerify && !allowsInsecure) {
    throw new UnsendableError('temporary', 'InsecureNotAllowed', 'auth.tls.insecureSkipVerify is not allowed here');
  }
  const ca = caRef === undefined ? {} : { ca: authorities(secret(caRef), caRef) };
  const pair = certRef === undefined || keyRef === undefined ? {} : { cert: secret(certRef), key: secret(keyRef) };
  const options: TlsOptions = { minVersion: MIN_VERSION, rejectUnauthorized: !insecureSkipVerify, ...ca, ...pair };
  try {
    createSecureContext(options);
  } catch {
    // Its own error might show what is in the key.
    throw invalid('certRef and keyRef do not lead to a certificate and its key in PEM');
  }
  return options;
}

/** A text without certificates would be taken, and then no server be trusted. */
function authorities(pem: Buffer, { name, key }: SecretKeyReference): string[] {
  const all = pem.toString().match(CERTIFICATE) ?? [];
  try {
    for (const one of all) new X509Certificate(one);
  } catch {
    throw invalid(`the key "${key}" of the Secret ${name} has a certificate in it that cannot be read`);
  }
  if (all.length === 0) throw invalid(`the key "${key}" of the Secret ${name} has no certificate in PEM`);
  return all;
}

function invalid(message: string): UnsendableError {
  return new UnsendableError('temporary', 'SecretInvalid', message);
}

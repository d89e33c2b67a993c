import type { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from './exchange.js';

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const ANY_USE = '2.5.29.37.0';
/** Longest chain between a client's certificate and its authority. */
const MAX_DEPTH = 8;

/**
 * Whether the certificate is a client's that chains to one of these authorities at this moment. TLS has checked the chain against all authorities
 * that were known when the connection was made, including what Node cannot see of a certificate (path lengths, names); which authority it is that
 * vouches for it, and whether it still does, is found here from the signatures.
 */
export function isClientOf(
  { leaf, intermediates, isVerified }: PeerCertificate,
  authorities: readonly X509Certificate[],
  now: Date,
): boolean {
  if (!isVerified || !isValidAt(leaf, now)) return false;
  // Node calls the extended uses by this name; without the extension every use is allowed. Its type says that it is always there.
  const uses = leaf.keyUsage as string[] | undefined;
  if (uses !== undefined && !uses.includes(CLIENT_AUTH) && !uses.includes(ANY_USE)) return false;
  let current = leaf;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const below = current;
    if (authorities.some((authority) => isValidAt(authority, now) && hasIssued(authority, below))) return true;
    const next = intermediates.find((candidate) => candidate.ca && isValidAt(candidate, now) && hasIssued(candidate, below));
    if (next === undefined || next.fingerprint256 === below.fingerprint256) return false;
    current = next;
  }
  return false;
}

/** The last common name: which is which in a subject with several is nobody's business. */
export function commonName(certificate: X509Certificate): string {
  return subjectValues(certificate, 'CN').at(-1) ?? '';
}

export function organizations(certificate: X509Certificate): string[] {
  return subjectValues(certificate, 'O');
}

function subjectValues(certificate: X509Certificate, field: 'CN' | 'O'): string[] {
  // The text form would have to be unescaped. A subject without anything is undefined, whatever the type says.
  const subject = certificate.toLegacyObject().subject as Partial<Record<string, string | string[]>> | undefined;
  return [subject?.[field] ?? []].flat();
}

function hasIssued(authority: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function isValidAt(certificate: X509Certificate, now: Date): boolean {
  return new Date(certificate.validFrom) <= now && now <= new Date(certificate.validTo);
}

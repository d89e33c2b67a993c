import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { commonName, isClientOf, organizations } from './client-certificate.js';
import * as pem from './spec/certificates.js';

const NOW = new Date('2027-06-01T00:00:00Z');
const authorities = [new X509Certificate(pem.FRONT_PROXY_AUTHORITY)];

function isClient(
  leaf: string,
  options: { sent?: readonly string[]; isVerified?: boolean; now?: Date; of?: readonly X509Certificate[] } = {},
): boolean {
  const { sent = [], isVerified = true, now = NOW, of = authorities } = options;
  return isClientOf({ leaf: new X509Certificate(leaf), intermediates: sent.map((each) => new X509Certificate(each)), isVerified }, of, now);
}

describe('isClientOf', () => {
  it('believes a certificate of the authority, also by way of an authority below it that the client sends', () => {
    expect(isClient(pem.FRONT_PROXY)).toBe(true);
    expect(isClient(pem.BELOW_INTERMEDIATE, { sent: [pem.INTERMEDIATE] })).toBe(true);
    expect(isClient(pem.BELOW_INTERMEDIATE)).toBe(false);
  });

  it('believes no certificate of another authority, none for servers only, and none below what is no authority', () => {
    expect(isClient(pem.JANE)).toBe(false);
    expect(isClient(pem.FRONT_PROXY, { of: [new X509Certificate(pem.USERS_AUTHORITY)] })).toBe(false);
    expect(isClient(pem.FRONT_PROXY, { of: [] })).toBe(false);
    expect(isClient(pem.SERVER_ONLY)).toBe(false);
    expect(isClient(pem.BELOW_NO_AUTHORITY, { sent: [pem.NO_AUTHORITY] })).toBe(false);
  });

  it('believes nothing that TLS has not verified, and nothing outside of its time', () => {
    expect(isClient(pem.FRONT_PROXY, { isVerified: false })).toBe(false);
    expect(isClient(pem.ONE_DAY)).toBe(false);
    expect(isClient(pem.ONE_DAY, { now: new Date(new X509Certificate(pem.ONE_DAY).validFrom) })).toBe(true);
    expect(isClient(pem.FRONT_PROXY, { now: new Date('2020-01-01T00:00:00Z') })).toBe(false);
  });
});

describe('the subject of a certificate', () => {
  it('is a user and his groups, whatever characters they have', () => {
    const jane = new X509Certificate(pem.JANE);
    expect(commonName(jane)).toBe('jane');
    expect(organizations(jane)).toEqual(['shop', 'a, b']);
    expect(organizations(new X509Certificate(pem.FRONT_PROXY))).toEqual([]);
  });
});

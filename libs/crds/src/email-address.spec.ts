import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { claimName, normalizeEmail } from './email-address.js';

describe('normalizeEmail', () => {
  it.each([
    ['blanks and capitals', ' \tJane.Doe@Example.COM\n', 'jane.doe@example.com'],
    ['a domain of another script', 'jane@MÜNCHEN.example', 'jane@xn--mnchen-3ya.example'],
    ['letters that are composed', 'jose\u0301@example.com', 'jos\u00e9@example.com'],
    ['dots and tags', 'j.a.n.e+shop@example.com', 'j.a.n.e+shop@example.com'],
    ['what is no address', 'Jane', 'jane'],
    ['a domain that cannot be one', 'jane@אa.com', 'jane@אa.com'],
  ])('has one form for %s', (_, text, normal) => {
    expect(normalizeEmail(text)).toBe(normal);
    expect(normalizeEmail(normal)).toBe(normal);
  });
});

describe('claimName', () => {
  it('is the digest of the normalised address', () => {
    const digest = createHash('sha256').update('jane@example.com').digest('hex');
    expect(claimName(' JANE@example.com')).toBe(digest);
    expect(claimName('jane+1@example.com')).not.toBe(digest);
  });
});

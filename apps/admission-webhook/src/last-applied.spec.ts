import { describe, expect, it } from '@jest/globals';
import { PASSWORD_ANNOTATION } from '@harikube/crds';
import { withoutPassword, withoutPasswordAnnotation } from './last-applied.js';

const CANARY = 'Plain-"Canary\\-1';
const HASH = '$argon2id$hash';
const secret = { hash: HASH, isHash: (text: string): boolean => text === HASH };
const manifest = (password: unknown, more: object = {}): string =>
  JSON.stringify({ kind: 'RegistrationRequest', spec: { password, ...more } });

describe('withoutPassword', () => {
  it('puts the hash in the place of the password', () => {
    expect(withoutPassword(manifest(CANARY, { user: { firstName: 'Jane' } }), { ...secret, plain: CANARY })).toBe(
      manifest(HASH, { user: { firstName: 'Jane' } }),
    );
    expect(withoutPassword(`${manifest(CANARY)}\n`, secret)).toBe(`${manifest(HASH)}\n`);
    for (const odd of [null, 7, [CANARY], { a: CANARY }]) expect(withoutPassword(manifest(odd), secret)).toBe(manifest(HASH));
  });

  it('changes no character where there is nothing to hide', () => {
    const text = ' {"spec": {"password": "$argon2id$hash", "city": "a\\u003cb"}}\n';
    expect(withoutPassword(text, secret)).toBe(text);
    expect(withoutPassword('{}', secret)).toBe('{}');
  });

  it('keeps nothing that cannot be read or has the password elsewhere', () => {
    for (const text of ['', CANARY, `{"spec":{"password":"${CANARY}"`, JSON.stringify(CANARY), JSON.stringify([CANARY])])
      expect(withoutPassword(text, secret)).toBeNull();
    expect(withoutPassword(manifest(CANARY, { note: `it is ${CANARY}` }), { ...secret, plain: CANARY })).toBeNull();
    expect(withoutPassword(`{"spec":{"password":"${HASH}","\\u0050":${JSON.stringify(CANARY)}}}`, { ...secret, plain: CANARY })).toBeNull();
  });

  it('forgets a second password that JSON hides behind the first', () => {
    const text = `{"spec":{"password":${JSON.stringify(CANARY)},"password":"${HASH}"}}`;
    expect(withoutPassword(text, { ...secret, plain: CANARY })).toBe(`{"spec":{"password":"${HASH}"}}`);
  });
});

describe('withoutPasswordAnnotation', () => {
  it('removes the hash that a User is given', () => {
    const text = JSON.stringify({ metadata: { annotations: { [PASSWORD_ANNOTATION]: HASH, a: 'b' } } });
    expect(withoutPasswordAnnotation(text)).toBe('{"metadata":{"annotations":{"a":"b"}}}');
  });

  it('changes no character where there is none, and keeps nothing that cannot be read', () => {
    expect(withoutPasswordAnnotation(' {"metadata": {}}\n')).toBe(' {"metadata": {}}\n');
    expect(withoutPasswordAnnotation('{')).toBeNull();
  });
});

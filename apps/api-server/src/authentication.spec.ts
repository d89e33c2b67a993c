import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Authenticator } from './authentication.js';
import { type PeerCertificate, RequestHeaders } from './exchange.js';
import * as pem from './spec/certificates.js';
import { NO_TRUST, type TrustConfig } from './trust-config.js';
import type { UserInfo } from './user-info.js';

const trust: TrustConfig = {
  clientAuthorities: [new X509Certificate(pem.USERS_AUTHORITY)],
  frontProxyAuthorities: [new X509Certificate(pem.FRONT_PROXY_AUTHORITY)],
  allowedNames: ['front-proxy-client'],
  usernameHeaders: ['X-Remote-User', 'X-Other-User'],
  uidHeaders: ['X-Remote-Uid'],
  groupHeaders: ['X-Remote-Group'],
  extraHeaderPrefixes: ['X-Remote-Extra-'],
};

const bob: UserInfo = { name: 'bob', uid: 'u', groups: ['g'], extra: {} };

function ask(
  headers: readonly (readonly [string, string])[],
  certificate: string | null = null,
  options: { trust?: TrustConfig; allowsAnonymous?: boolean } = {},
): ReturnType<Authenticator['authenticate']> {
  const authenticator = new Authenticator({
    trust: () => options.trust ?? trust,
    tokens: { review: async (token) => (token === 'good' ? bob : null) },
    allowsAnonymous: options.allowsAnonymous ?? false,
    now: () => new Date('2027-06-01T00:00:00Z'),
  });
  const peer: PeerCertificate | null =
    certificate === null ? null : { leaf: new X509Certificate(certificate), intermediates: [], isVerified: true };
  return authenticator.authenticate({ headers: new RequestHeaders(headers.flat()), peer, signal: new AbortController().signal });
}

const remoteUser = ['x-remote-user', 'alice'] as const;

describe('Authenticator', () => {
  it('takes from the front proxy who asks, with all groups in their order and the rest of what is known', async () => {
    const found = await ask(
      [
        ['X-REMOTE-USER', 'alice'],
        ['X-Remote-Group', 'a, b'],
        ['x-remote-group', 'c'],
        ['X-Remote-Uid', '42'],
        ['X-Remote-Extra-scopes%2fone', 'x'],
        ['X-Remote-Extra-Scopes%2Fone', 'x'],
        ['X-Remote-Extra-__proto__', 'x'],
      ],
      pem.FRONT_PROXY,
    );
    expect(found).toEqual({
      by: 'front-proxy',
      user: { name: 'alice', uid: '42', groups: ['a, b', 'c', 'system:authenticated'], extra: { 'scopes/one': ['x', 'x'] } },
    });
  });

  it('takes the first header of a user that says something', async () => {
    const found = await ask(
      [
        ['x-remote-user', ''],
        ['x-other-user', 'carol'],
      ],
      pem.FRONT_PROXY,
    );
    expect(found?.user).toMatchObject({ name: 'carol', groups: ['system:authenticated'] });
  });

  it('leaves an anonymous user of the front proxy what he is', async () => {
    const found = await ask(
      [
        ['x-remote-user', 'system:anonymous'],
        ['x-remote-group', 'system:unauthenticated'],
      ],
      pem.FRONT_PROXY,
    );
    expect(found?.user.groups).toEqual(['system:unauthenticated']);
  });

  it('believes such headers from nobody else', async () => {
    expect(await ask([remoteUser])).toBeNull();
    expect(await ask([remoteUser], pem.SERVER_ONLY)).toBeNull();
    expect(await ask([remoteUser], pem.FRONT_PROXY, { trust: { ...trust, allowedNames: ['another'] } })).toBeNull();
    expect(await ask([remoteUser], pem.FRONT_PROXY, { trust: NO_TRUST })).toBeNull();
    expect((await ask([remoteUser], pem.JANE))?.user.name).toBe('jane');
    expect((await ask([remoteUser, ['authorization', 'Bearer good']]))?.user.name).toBe('bob');
  });

  it('takes any name of the front proxy when none is demanded', async () => {
    expect((await ask([remoteUser], pem.FRONT_PROXY, { trust: { ...trust, allowedNames: [] } }))?.user.name).toBe('alice');
  });

  it('knows users by their certificates, and which it was', async () => {
    const found = await ask([], pem.JANE);
    expect(found).toMatchObject({ by: 'certificate', user: { name: 'jane', groups: ['shop', 'a, b', 'system:authenticated'] } });
    expect(found?.user.extra['authentication.kubernetes.io/credential-id']?.[0]).toMatch(/^X509SHA256=[0-9a-f]{64}$/);
  });

  it('asks about tokens when no certificate says who it is', async () => {
    expect(await ask([['authorization', 'bearer good']])).toMatchObject({ by: 'token', user: { groups: ['g', 'system:authenticated'] } });
    expect((await ask([['authorization', 'Bearer good']], pem.FRONT_PROXY))?.by).toBe('token');
    expect(await ask([['authorization', 'Bearer bad']], null, { allowsAnonymous: true })).toBeNull();
    expect(await ask([['authorization', 'Basic Zm9v']], null, { allowsAnonymous: true })).toBeNull();
  });

  it('lets in who shows nothing only when it is told to', async () => {
    expect(await ask([])).toBeNull();
    expect(await ask([], null, { allowsAnonymous: true })).toEqual({
      by: 'anonymous',
      user: { name: 'system:anonymous', uid: '', groups: ['system:unauthenticated'], extra: {} },
    });
  });
});

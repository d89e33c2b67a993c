import { describe, expect, it } from '@jest/globals';
import * as pem from './spec/certificates.js';
import { authoritiesPem, NO_TRUST, parseTrust } from './trust-config.js';

const data = {
  'client-ca-file': `${pem.USERS_AUTHORITY}\n# a comment\n${pem.INTERMEDIATE}`,
  'requestheader-client-ca-file': pem.FRONT_PROXY_AUTHORITY,
  'requestheader-allowed-names': '["front-proxy-client"]',
  'requestheader-username-headers': '["X-Remote-User"]',
  'requestheader-uid-headers': '["X-Remote-Uid"]',
  'requestheader-group-headers': '["X-Remote-Group"]',
  'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
};

describe('parseTrust', () => {
  it('reads what kube-apiserver publishes, with several authorities in one text', () => {
    const { trust, complaints } = parseTrust(data, NO_TRUST);
    expect(complaints).toEqual([]);
    expect(trust.clientAuthorities.map(({ subject }) => subject)).toEqual(['CN=users-authority', 'CN=intermediate']);
    expect(trust).toMatchObject({
      allowedNames: ['front-proxy-client'],
      uidHeaders: ['X-Remote-Uid'],
      extraHeaderPrefixes: ['X-Remote-Extra-'],
    });
    expect(authoritiesPem(trust)).toHaveLength(3);
  });

  it('keeps what was good before when a key is empty, gone or unreadable', () => {
    const { trust } = parseTrust(data, NO_TRUST);
    const damaged = {
      'client-ca-file': 'nothing',
      'requestheader-client-ca-file': '',
      'requestheader-allowed-names': '{}',
      'requestheader-username-headers': '[',
    };
    const next = parseTrust(damaged, trust);
    expect(next.trust).toEqual(trust);
    expect(next.complaints).toEqual(['client-ca-file', 'requestheader-allowed-names', 'requestheader-username-headers']);
  });
});

import { createPrivateKey, createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Certificates, type KeyPair, loadAuthority, loadCertificate, loadCertificates } from './certificates.js';

const DAY = 24 * 60 * 60 * 1000;
const LEAVES = ['apiServer', 'admin', 'controllerManager'] as const;

describe('loadCertificates', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('signs each leaf with its own authority and no other', async () => {
    const made = await loadCertificates(folder);
    for (const name of LEAVES) {
      expect(isSignedBy(made[name], made.authority)).toBe(true);
      expect(isSignedBy(made[name], made.frontProxyAuthority)).toBe(false);
    }
    expect(isSignedBy(made.frontProxyClient, made.frontProxyAuthority)).toBe(true);
    expect(isSignedBy(made.frontProxyClient, made.authority)).toBe(false);
  });

  it('names every way to reach the API server, and nothing else', async () => {
    const { apiServer } = await loadCertificates(folder);
    const names = new X509Certificate(apiServer.certificate).subjectAltName?.split(', ') ?? [];
    expect(names.sort()).toEqual([
      'DNS:kubernetes',
      'DNS:kubernetes.default',
      'DNS:kubernetes.default.svc',
      'DNS:kubernetes.default.svc.cluster.local',
      'DNS:localhost',
      'IP Address:10.0.0.1',
      'IP Address:127.0.0.1',
    ]);
  });

  it('names the address of the API server in another range of services, and keeps that for who asks for less', async () => {
    const { apiServer } = await loadCertificates(folder, new Date(), ['10.89.7.129']);
    expect(new X509Certificate(apiServer.certificate).checkIP('10.89.7.129')).toBe('10.89.7.129');
    expect((await loadCertificates(folder)).apiServer.certificate).toBe(apiServer.certificate);
  });

  it('makes the administrator a member of system:masters and the controllers who they are', async () => {
    const made = await loadCertificates(folder);
    expect(new X509Certificate(made.admin.certificate).subject.split('\n')).toContain('O=system:masters');
    expect(new X509Certificate(made.controllerManager.certificate).subject).toBe('CN=system:kube-controller-manager');
    expect(new X509Certificate(made.frontProxyClient.certificate).subject).toBe('CN=front-proxy-client');
  });

  it('lets a client and a server of the authority meet, each checking the other', async () => {
    const made = await loadCertificates(folder);
    expect(await handshake(made, made.admin)).toBe('admin');
  });

  it("keeps the front proxy's client out of a server of the other authority", async () => {
    const made = await loadCertificates(folder);
    await expect(handshake(made, made.frontProxyClient)).rejects.toThrow();
  });

  it('makes service account keys that belong together', async () => {
    const made = await loadCertificates(folder);
    const data = Buffer.from('token');
    const signature = sign('sha256', data, createPrivateKey(readFileSync(made.serviceAccountKeyFile)));
    expect(verify('sha256', data, createPublicKey(readFileSync(made.serviceAccountPublicKeyFile)), signature)).toBe(true);
  });

  it('lets only the owner read private keys', async () => {
    await loadCertificates(folder);
    const keys = readdirSync(folder).filter((file) => file.endsWith('.key'));
    expect(keys.length).toBe(7);
    for (const key of keys) expect(statSync(join(folder, key)).mode & 0o777).toBe(0o600);
  });

  it('is the same at the next start', async () => {
    expect(await loadCertificates(folder)).toEqual(await loadCertificates(folder));
  });

  it('makes leaves that end soon anew and keeps the authority', async () => {
    const first = await loadCertificates(folder);
    const later = await loadCertificates(folder, new Date(Date.now() + 340 * DAY));
    expect(later.authority).toEqual(first.authority);
    for (const name of LEAVES) {
      expect(later[name].certificate).not.toBe(first[name].certificate);
      expect(isSignedBy(later[name], first.authority)).toBe(true);
    }
  });

  it('renews an authority with its key, before a certificate of it could outlive it: old and new trust each other', async () => {
    await loadCertificates(folder, new Date(Date.now() - 3260 * DAY));
    const first = await loadCertificates(folder, new Date(Date.now() - 100 * DAY));
    const later = await loadCertificates(folder);
    for (const name of ['authority', 'frontProxyAuthority'] as const) {
      expect(later[name].certificate).not.toBe(first[name].certificate);
      expect(later[name].key).toBe(first[name].key);
      expect(new X509Certificate(later[name].certificate).subject).toBe(new X509Certificate(first[name].certificate).subject);
    }
    expect(later.apiServer).toEqual(first.apiServer);
    const signedBefore = await handshake({ ...first, authority: later.authority }, { ...first.admin, trusted: first.authority });
    const renewed = await loadCertificate(join(folder, 'renewed'), later, { file: 'tls', commonName: 'renewed', use: 'server' });
    const signedAfter = await handshake({ apiServer: renewed, authority: later.authority }, { ...first.admin, trusted: first.authority });
    expect([signedBefore, signedAfter]).toEqual(['admin', 'admin']);
  });

  it('keeps an authority that outlives what it signs', async () => {
    const first = await loadCertificates(folder);
    const later = await loadCertificates(folder, new Date(Date.now() + 3250 * DAY));
    expect(later.authority).toEqual(first.authority);
    expect(new X509Certificate(later.apiServer.certificate).validToDate.getTime()).toBeLessThan(
      new X509Certificate(later.authority.certificate).validToDate.getTime(),
    );
  });

  it('gives an authority whose certificate is lost another one, and one whose key is lost another key', async () => {
    const first = await loadAuthority(folder, 'own', 'company');
    rmSync(first.certificateFile);
    const second = await loadAuthority(folder, 'own', 'company');
    expect([second.key, second.certificate === first.certificate]).toEqual([first.key, false]);
    rmSync(first.keyFile);
    expect((await loadAuthority(folder, 'own', 'company')).key).not.toBe(first.key);
  });

  it('replaces a certificate whose key is another one', async () => {
    const first = await loadCertificates(folder);
    writeFileSync(first.admin.keyFile, first.apiServer.key);
    const { admin } = await loadCertificates(folder);
    expect(new X509Certificate(admin.certificate).checkPrivateKey(createPrivateKey(admin.key))).toBe(true);
  });

  it('keeps a certificate for a program only as long as that is called the same', async () => {
    const made = await loadCertificates(folder);
    const load = (serverNames: string[], commonName = 'web'): Promise<KeyPair> =>
      loadCertificate(join(folder, 'web'), made, { file: 'tls', commonName, use: 'server', serverNames });
    const first = await load(['web.test.svc']);
    expect(await load(['web.test.svc'])).toEqual(first);
    const renamed = await load(['shop.test.svc']);
    expect(new X509Certificate(renamed.certificate).checkHost('shop.test.svc')).toBe('shop.test.svc');
    expect((await load(['shop.test.svc'], 'shop')).certificate).not.toBe(renamed.certificate);
  });

  it('makes a client the account of a service', async () => {
    const made = await loadCertificates(folder);
    const options = {
      file: 'account',
      commonName: 'system:serviceaccount:test:web',
      organizations: ['system:serviceaccounts', 'system:serviceaccounts:test'],
      use: 'client',
    } as const;
    const account = await loadCertificate(folder, made, options);
    expect(new X509Certificate(account.certificate).subject).toBe(
      'O=system:serviceaccounts\nO=system:serviceaccounts:test\nCN=system:serviceaccount:test:web',
    );
    expect(await loadCertificate(folder, made, options)).toEqual(account);
  });
});

function isSignedBy(leaf: KeyPair, authority: KeyPair): boolean {
  const issuer = new X509Certificate(authority.certificate);
  const certificate = new X509Certificate(leaf.certificate);
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** The common name that a server with the API server's certificate sees in a client of 127.0.0.1, who trusts the same authority unless another is told. */
async function handshake(
  made: Pick<Certificates, 'apiServer' | 'authority'>,
  client: KeyPair & { readonly trusted?: KeyPair },
): Promise<string> {
  const server = createServer(
    {
      cert: made.apiServer.certificate,
      key: made.apiServer.key,
      ca: made.authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      const name: unknown = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
      response.end(String(name));
    },
  );
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    return await new Promise<string>((resolve, reject) => {
      get(
        {
          host: '127.0.0.1',
          port,
          ca: (client.trusted ?? made.authority).certificate,
          cert: client.certificate,
          key: client.key,
          agent: false,
        },
        (response) => {
          response.setEncoding('utf8').on('data', resolve).on('error', reject);
        },
      ).on('error', reject);
    });
  } finally {
    server.close();
  }
}

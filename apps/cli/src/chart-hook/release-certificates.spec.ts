import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type KubeObject, SECRETS } from '@harikube/kube';
import { loadAuthority } from '@harikube/local-cluster';
import { makeCertificates } from './release-certificates.js';
import { keyOf, ObjectsDouble } from './spec/objects-double.js';

const DAY = 24 * 60 * 60 * 1000;

const SPEC = {
  namespace: 'harikube',
  labels: { 'harikube.info/release': 'harikube.store' },
  authorities: [
    {
      secret: 'store-ca',
      commonName: 'store-ca',
      certificates: [
        { secret: 'store-server', use: 'server' as const, commonName: 'store', names: ['store.harikube.svc'] },
        { secret: 'store-client', use: 'client' as const, commonName: 'kube-apiserver' },
      ],
    },
  ],
};

function dataOf(double: ObjectsDouble, name: string): Record<string, string> {
  const secret = double.objects.get(keyOf(SECRETS, name, 'harikube'));
  return (secret as { data?: Record<string, string> } | undefined)?.data ?? {};
}

function certificateOf(double: ObjectsDouble, name: string): X509Certificate {
  return new X509Certificate(Buffer.from(dataOf(double, name)['tls.crt'] ?? '', 'base64'));
}

describe('makeCertificates', () => {
  it('makes an authority and what it signs', async () => {
    const double = new ObjectsDouble();
    await makeCertificates(double.context(), SPEC);
    const authority = certificateOf(double, 'store-ca');
    const server = certificateOf(double, 'store-server');
    expect(server.verify(authority.publicKey)).toBe(true);
    expect(server.checkHost('store.harikube.svc')).toBe('store.harikube.svc');
    expect(certificateOf(double, 'store-client').subject).toBe('CN=kube-apiserver');
    expect(dataOf(double, 'store-client')['ca.crt']).toBe(dataOf(double, 'store-ca')['tls.crt']);
  });

  it('keeps what is there and good, and makes anew what says too little', async () => {
    const double = new ObjectsDouble();
    await makeCertificates(double.context(), SPEC);
    const before = { server: dataOf(double, 'store-server'), client: dataOf(double, 'store-client') };
    await makeCertificates(double.context(), SPEC);
    expect(dataOf(double, 'store-server')).toEqual(before.server);
    const [authority] = SPEC.authorities;
    const certificates =
      authority?.certificates.map((each) => (each.use === 'server' ? { ...each, names: ['other.example.com'] } : each)) ?? [];
    await makeCertificates(double.context(), { ...SPEC, authorities: [{ secret: 'store-ca', commonName: 'store-ca', certificates }] });
    expect(certificateOf(double, 'store-server').checkHost('other.example.com')).toBe('other.example.com');
    expect(dataOf(double, 'store-client')).toEqual(before.client);
  });

  it('renews an authority with its key, so that what it has signed stays as it is', async () => {
    const double = new ObjectsDouble();
    const folder = await mkdtemp(join(tmpdir(), 'former-'));
    const { certificate, key } = await loadAuthority(folder, 'store-ca', 'store-ca', new Date(Date.now() - 3300 * DAY));
    await rm(folder, { recursive: true });
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const data = { 'ca.crt': base64(certificate), 'tls.crt': base64(certificate), 'tls.key': base64(key) };
    const { namespace, labels } = SPEC;
    double.objects.set(keyOf(SECRETS, 'store-ca', namespace), { metadata: { name: 'store-ca', namespace, labels }, data } as KubeObject);
    await makeCertificates(double.context(), SPEC);
    expect([dataOf(double, 'store-ca')['tls.crt'] === data['tls.crt'], dataOf(double, 'store-ca')['tls.key']]).toEqual([
      false,
      data['tls.key'],
    ]);
    const server = certificateOf(double, 'store-server');
    for (const authority of [new X509Certificate(certificate), certificateOf(double, 'store-ca')])
      expect(server.checkIssued(authority) && server.verify(authority.publicKey)).toBe(true);
    expect(dataOf(double, 'store-server')['ca.crt']).toBe(dataOf(double, 'store-ca')['tls.crt']);
  });

  it('makes anew what is no certificate', async () => {
    const double = new ObjectsDouble();
    await makeCertificates(double.context(), SPEC);
    const key = keyOf(SECRETS, 'store-server', 'harikube');
    const emptied = { ...double.objects.get(key), data: { 'tls.crt': '', 'tls.key': '' } };
    double.objects.set(key, emptied as never);
    await makeCertificates(double.context(), SPEC);
    expect(certificateOf(double, 'store-server').verify(certificateOf(double, 'store-ca').publicKey)).toBe(true);
  });

  it('touches no Secret of somebody else', async () => {
    const double = new ObjectsDouble();
    double.objects.set(keyOf(SECRETS, 'store-server', 'harikube'), { metadata: { name: 'store-server', namespace: 'harikube' } });
    await expect(makeCertificates(double.context(), SPEC)).rejects.toThrow('the Secret harikube/store-server is not of this release');
    expect(dataOf(double, 'store-server')).toEqual({});
  });
});

import { describe, expect, it } from '@jest/globals';
import { createMetrics, watchCertificate } from './metrics.js';
import { selfSigned } from './spec/self-signed.js';

describe('createMetrics', () => {
  it('tells the release and the version of Node', async () => {
    expect(await createMetrics().metrics()).toMatch(
      new RegExp(`^harikube_build_info\\{version="\\d+\\.\\d+\\.\\d+",node_version="${process.version}"\\} 1$`, 'm'),
    );
  });
});

describe('watchCertificate', () => {
  it('tells of each certificate when the one in force expires', async () => {
    const registry = createMetrics();
    const expiry = new Date('2031-01-01T00:00:00Z');
    let pem = selfSigned('a', new Date('2030-01-01T00:00:00Z')).cert;
    watchCertificate(registry, 'a', () => pem);
    watchCertificate(registry, 'b', () => Buffer.from(selfSigned('b', expiry).cert));
    pem = selfSigned('a', expiry).cert;
    const text = await registry.metrics();
    for (const name of ['a', 'b'])
      expect(text).toContain(`harikube_tls_certificate_expiry_timestamp_seconds{certificate="${name}"} ${expiry.getTime() / 1000}`);
  });
});

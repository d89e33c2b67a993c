import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { collectDefaultMetrics, exponentialBuckets, Gauge, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Buckets of the reference's statement times: 14 of them, from 1 ms doubling to 8.192 s. */
export const STATEMENT_SECONDS_BUCKETS: readonly number[] = exponentialBuckets(0.001, 2, 14);

/** A registry that already has the process's own metrics: memory, processor time, event loop lag, garbage collection, and what was built. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'harikube_build_info',
    help: '1, with the release that runs',
    labelNames: ['version', 'node_version'],
    registers: [registry],
  }).set({ version: ownVersion(), node_version: process.version }, 1);
  return registry;
}

const EXPIRY = 'harikube_tls_certificate_expiry_timestamp_seconds';
/** By registry, which several services may share. */
const certificates = new WeakMap<Registry, Map<string, () => Uint8Array | string>>();

/** Tells when the certificate expires that `name` serves with; `read` is asked for its PEM whenever the metrics are read. */
export function watchCertificate(registry: Registry, name: string, read: () => Uint8Array | string): void {
  const known = certificates.get(registry);
  if (known !== undefined) {
    known.set(name, read);
    return;
  }
  const readers = new Map([[name, read]]);
  certificates.set(registry, readers);
  new Gauge({
    name: EXPIRY,
    help: 'When the certificate that is served expires, in seconds since 1970',
    labelNames: ['certificate'],
    registers: [registry],
    collect() {
      for (const [certificate, pem] of readers) this.set({ certificate }, new X509Certificate(pem()).validToDate.getTime() / 1000);
    },
  });
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { readonly version: string };
  return version;
}

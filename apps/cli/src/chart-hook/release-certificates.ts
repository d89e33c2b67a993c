/** The certificates of a release that has no other source of them: made once, kept in Secrets, and made anew before they end. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ifFound, type KubeClient, type KubeObject, SECRETS, type Resource } from '@harikube/kube';
import { type KeyPair, loadAuthority, loadCertificate } from '@harikube/local-cluster';
import { ChartHookError } from './hook-error.js';
import type { CertificatesSpec } from './hook-spec.js';

interface Secret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
}

const SECRET: Resource<Secret> = SECRETS;

export interface CertificateContext {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'patch'>;
  readonly note: (text: string) => void;
}

/** Makes what is missing, and what ends within 30 days or does not say what is asked for. Secrets of somebody else are refused. */
export async function makeCertificates({ client, note }: CertificateContext, spec: CertificatesSpec): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'certificates-'));
  try {
    for (const { secret, commonName, certificates } of spec.authorities) {
      const store = new SecretStore({ client, note }, spec, folder);
      await store.read(secret);
      const authority = await loadAuthority(folder, secret, commonName);
      await store.write(secret, authority, authority);
      for (const { secret: name, use, commonName: subject, names } of certificates) {
        await store.read(name);
        const pair = await loadCertificate(folder, { authority }, { file: name, commonName: subject, use, serverNames: names });
        await store.write(name, pair, authority);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Secrets as pairs of files in a folder, where certificates are made and judged. */
class SecretStore {
  readonly #found = new Map<string, Secret>();

  constructor(
    private readonly context: CertificateContext,
    private readonly spec: CertificatesSpec,
    private readonly folder: string,
  ) {}

  async read(name: string): Promise<void> {
    const { namespace, labels } = this.spec;
    const secret = await ifFound(this.context.client.get(SECRET, name, namespace));
    if (secret === null) return;
    const isOwn = Object.entries(labels).every(([key, value]) => secret.metadata.labels?.[key] === value);
    if (!isOwn)
      throw new ChartHookError(
        `the Secret ${namespace}/${name} is not of this release: remove it, or name it as an existing one (tls.mode existingSecret)`,
      );
    this.#found.set(name, secret);
    const [certificate, key] = ['tls.crt', 'tls.key'].map((entry) => Buffer.from(secret.data?.[entry] ?? '', 'base64'));
    // What is no certificate is made anew, like what is missing.
    if (!isPem(certificate) || !isPem(key)) return;
    await writeFile(join(this.folder, `${name}.crt`), certificate, { mode: 0o600 });
    await writeFile(join(this.folder, `${name}.key`), key, { mode: 0o600 });
  }

  async write(name: string, { certificateFile, keyFile }: KeyPair, authority: KeyPair): Promise<void> {
    const { client, note } = this.context;
    const { namespace, labels } = this.spec;
    const data = {
      'ca.crt': await base64(authority.certificateFile),
      'tls.crt': await base64(certificateFile),
      'tls.key': await base64(keyFile),
    };
    const found = this.#found.get(name);
    if (found === undefined) {
      const metadata = { name, namespace, labels: { ...labels } };
      await client.create(SECRET, { metadata, type: 'kubernetes.io/tls', data });
      note(`Secret ${namespace}/${name} is made`);
    } else if (Object.entries(data).some(([key, value]) => found.data?.[key] !== value)) {
      await client.patch(SECRET, name, namespace, { data }, { type: 'merge' });
      note(`Secret ${namespace}/${name} is renewed`);
    }
  }
}

function isPem(bytes: Buffer | undefined): bytes is Buffer {
  return bytes !== undefined && bytes.includes('-----BEGIN ');
}

async function base64(file: string): Promise<string> {
  return (await readFile(file)).toString('base64');
}

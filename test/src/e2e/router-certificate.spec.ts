import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Certificates, type KeyPair, loadCertificate, loadCertificates } from '@harikube/local-cluster';
import { RouterProcess } from '../fault/router-process.js';
import { eventually } from './eventually.js';

let folder: string;
let certificates: Certificates;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'router-certificate-'));
  certificates = await loadCertificates(join(folder, 'pki'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const issue = (name: string, use: 'server' | 'client'): Promise<KeyPair> =>
  loadCertificate(join(folder, name), certificates, { file: 'tls', commonName: name, use });

/** As a kubelet or an editor does it: each file is there whole or not at all. */
async function replace(pair: KeyPair): Promise<void> {
  for (const [file, text] of [
    ['served.crt', pair.certificate],
    ['served.key', pair.key],
  ] as const) {
    await writeFile(join(folder, `${file}.new`), text);
    await rename(join(folder, `${file}.new`), join(folder, file));
  }
}

/** Name in the certificate that a new connection is shown. */
function shown(address: string, client: KeyPair): Promise<string> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const socket = connect(
      {
        host: hostname,
        port: Number(port),
        ca: certificates.authority.certificate,
        cert: client.certificate,
        key: client.key,
        ALPNProtocols: ['h2'],
        checkServerIdentity: () => undefined,
      },
      () => {
        const { CN } = socket.getPeerCertificate().subject;
        socket.destroy();
        resolve(String(CN));
      },
    );
    socket.once('error', reject);
  });
}

it('the router shows a certificate that is replaced to new connections, without a restart', async () => {
  await replace(await issue('first', 'server'));
  const client = await issue('kube-apiserver', 'client');
  const ca = join(folder, 'ca.crt');
  await writeFile(ca, certificates.authority.certificate);
  const flags = ['server-cert-file', 'server-key-file', 'server-ca-file'].map(
    (flag, i) => `--${flag}=${[join(folder, 'served.crt'), join(folder, 'served.key'), ca][i] ?? ''}`,
  );
  const router = await RouterProcess.start({ database: join(folder, 'main.db'), flags });
  try {
    expect(await shown(router.address, client)).toBe('first');
    await replace(await issue('second', 'server'));
    await eventually(
      () => shown(router.address, client),
      (name) => name === 'second',
      30,
    );
  } finally {
    await router.kill();
  }
});

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { freePort } from './ports.js';
import { silent } from './progress.js';
import { downloadPrograms } from './release-download.js';
import { SetupError } from './setup-error.js';
import { ETCD_VERSION, KUBERNETES_VERSION } from './versions.js';

const isLinux = process.platform === 'linux';
const architecture = { x64: 'amd64', arm64: 'arm64', ppc64: 'ppc64le', s390x: 's390x' }[process.arch as string] ?? '';

describe('downloadPrograms', () => {
  let folder = '';
  let target = '';
  let server: Server;
  let base = '';
  const files = new Map<string, Buffer>();
  const sum = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'download-'));
    target = join(folder, 'bin');
    mkdirSync(target);
    files.clear();
    server = createServer((request, response) => {
      const content = files.get(request.url ?? '');
      response.writeHead(content === undefined ? 404 : 200).end(content);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  });
  afterEach(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const download = (...programs: ('kubectl' | 'kube-apiserver' | 'etcd' | 'etcdctl')[]): Promise<void> =>
    downloadPrograms(programs, target, { progress: silent, urls: { kubernetes: `${base}/k`, etcd: `${base}/e` } });

  it('installs a program whose checksum is right', async () => {
    const content = Buffer.from('the program');
    const path = `/k/v${KUBERNETES_VERSION}/bin/linux/${architecture}/kubectl`;
    files.set(path, content).set(`${path}.sha256`, Buffer.from(sum(content)));
    await refusedElsewhere(download('kubectl'), () => {
      expect(readFileSync(join(target, 'kubectl'))).toEqual(content);
      expect(statSync(join(target, 'kubectl')).mode & 0o777).toBe(0o755);
      expect(readdirSync(target)).toEqual(['kubectl']);
    });
  });

  it('takes etcd and etcdctl out of their archive', async () => {
    const name = `etcd-v${ETCD_VERSION}-linux-${architecture}`;
    mkdirSync(join(folder, name));
    for (const program of ['etcd', 'etcdctl', 'etcdutl']) writeFileSync(join(folder, name, program), program);
    execFileSync('tar', ['-czf', 'archive.tar.gz', name], { cwd: folder });
    const archive = readFileSync(join(folder, 'archive.tar.gz'));
    files.set(`/e/v${ETCD_VERSION}/${name}.tar.gz`, archive);
    files.set(`/e/v${ETCD_VERSION}/SHA256SUMS`, Buffer.from(`${'0'.repeat(64)}  other.tar.gz\n${sum(archive)}  ${name}.tar.gz\n`));
    await refusedElsewhere(download('etcd', 'etcdctl'), () => {
      expect(readdirSync(target).sort()).toEqual(['etcd', 'etcdctl']);
      expect(readFileSync(join(target, 'etcdctl'), 'utf8')).toBe('etcdctl');
    });
  });

  it('refuses a program with another checksum and leaves nothing of it', async () => {
    const path = `/k/v${KUBERNETES_VERSION}/bin/linux/${architecture}/kubectl`;
    files.set(path, Buffer.from('something else')).set(`${path}.sha256`, Buffer.from(sum(Buffer.from('the program'))));
    await expect(download('kubectl')).rejects.toThrow(
      isLinux ? 'does not have the checksum that its server names' : 'no official releases',
    );
    expect(readdirSync(target)).toEqual([]);
  });

  it('refuses when the release is not there', async () => {
    await expect(download('kube-apiserver')).rejects.toThrow(isLinux ? 'answers 404' : 'no official releases');
  });

  it('refuses when the server cannot be reached', async () => {
    const urls = { kubernetes: `http://127.0.0.1:${await freePort()}` };
    const refused = downloadPrograms(['kubectl'], target, { progress: silent, urls });
    await expect(refused).rejects.toThrow(SetupError);
    await expect(refused).rejects.toThrow(isLinux ? `${urls.kubernetes} cannot be reached (ECONNREFUSED)` : 'no official releases');
  });
});

/** The releases are for Linux; any other system is told so. */
async function refusedElsewhere(download: Promise<void>, check: () => void): Promise<void> {
  if (!isLinux) {
    await expect(download).rejects.toThrow('no official releases');
    return;
  }
  await download;
  check();
}

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Binaries, type BinariesOptions, cacheRoot, type Provider } from './binaries.js';
import { SetupError } from './setup-error.js';
import { ETCD_VERSION, KUBERNETES_VERSION } from './versions.js';

describe('Binaries', () => {
  let folder = '';
  let assets = '';
  let path = '';
  let notes: string[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'binaries-'));
    assets = join(folder, 'assets');
    path = join(folder, 'path');
    notes = [];
    for (const name of [assets, path]) mkdirSync(name);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const put = (place: string, program: string, output: string): string => {
    const file = join(place, program);
    mkdirSync(place, { recursive: true });
    writeFileSync(file, `#!/bin/sh\necho '${output}'\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const unreachable: Provider = () => Promise.reject(new SetupError('the release server cannot be reached'));
  const never: Provider = () => Promise.reject(new Error('not expected'));
  const binaries = (options: Partial<BinariesOptions> = {}): Binaries =>
    new Binaries({
      env: { KUBEBUILDER_ASSETS: assets, PATH: path, HARIKUBE_CACHE: join(folder, 'cache') },
      progress: { note: (text) => notes.push(text), update: () => undefined },
      download: never,
      build: never,
      ...options,
    });
  const apiserver = `Kubernetes v${KUBERNETES_VERSION}`;

  it('prefers KUBEBUILDER_ASSETS, then PATH, then the cache folder', async () => {
    const made = binaries();
    const cached = put(made.cacheFolder, 'kube-apiserver', apiserver);
    expect(await made.find(['kube-apiserver'])).toEqual({ 'kube-apiserver': { path: cached, source: 'cache' } });
    const onPath = put(path, 'kube-apiserver', apiserver);
    expect(await made.find(['kube-apiserver'])).toEqual({ 'kube-apiserver': { path: onPath, source: 'PATH' } });
    const asset = put(assets, 'kube-apiserver', apiserver);
    expect(await made.find(['kube-apiserver'])).toEqual({ 'kube-apiserver': { path: asset, source: 'KUBEBUILDER_ASSETS' } });
    expect(notes).toEqual([]);
  });

  it('looks for each program by itself', async () => {
    const asset = put(assets, 'etcd', `etcd Version: ${ETCD_VERSION}\nGit SHA: x\nGo Version: go1.26.8`);
    const onPath = put(path, 'kubectl', `Client Version: v${KUBERNETES_VERSION}\nKustomize Version: v5.8.1`);
    expect(await binaries().find(['kubectl', 'etcd'])).toEqual({
      kubectl: { path: onPath, source: 'PATH' },
      etcd: { path: asset, source: 'KUBEBUILDER_ASSETS' },
    });
  });

  it('passes over another version with a note', async () => {
    const old = put(assets, 'kubectl', 'Client Version: v1.32.4');
    const right = put(path, 'kubectl', `Client Version: v${KUBERNETES_VERSION}`);
    expect(await binaries().find(['kubectl'])).toEqual({ kubectl: { path: right, source: 'PATH' } });
    expect(notes).toEqual([`${old} (KUBEBUILDER_ASSETS) is passed over: it is version 1.32.4, not ${KUBERNETES_VERSION}`]);
  });

  it('passes over a program that does not run', async () => {
    const broken = join(assets, 'etcdctl');
    writeFileSync(broken, '#!/bin/sh\nexit 1\n');
    chmodSync(broken, 0o755);
    const right = put(path, 'etcdctl', `etcdctl version: ${ETCD_VERSION}`);
    expect((await binaries().find(['etcdctl'])).etcdctl.path).toBe(right);
    expect(notes).toEqual([`${broken} (KUBEBUILDER_ASSETS) is passed over: it is of an unknown version, not ${ETCD_VERSION}`]);
  });

  it('takes what it made before at its folder, however slow, and what is elsewhere at its word alone', async () => {
    const made = binaries({ patienceMs: 1 });
    const [asset, cached] = [assets, made.cacheFolder].map((place) => put(place, 'kubectl', "'; exec sleep 600; '"));
    expect(await made.find(['kubectl'])).toEqual({ kubectl: { path: cached, source: 'cache' } });
    expect(notes).toEqual([`${asset} (KUBEBUILDER_ASSETS) is passed over: it is of an unknown version, not ${KUBERNETES_VERSION}`]);
  });

  it('passes over files that nobody may execute', async () => {
    writeFileSync(join(assets, 'etcd'), 'data', { mode: 0o644 });
    const right = put(path, 'etcd', `etcd Version: ${ETCD_VERSION}`);
    expect((await binaries().find(['etcd'])).etcd.path).toBe(right);
  });

  it('downloads only what it did not find', async () => {
    put(path, 'kubectl', `Client Version: v${KUBERNETES_VERSION}`);
    const asked: string[][] = [];
    const download: Provider = (programs, target) => {
      asked.push([...programs]);
      for (const program of programs) put(target, program, apiserver);
      return Promise.resolve();
    };
    const made = binaries({ download });
    const found = await made.find(['kubectl', 'kube-apiserver']);
    expect(asked).toEqual([['kube-apiserver']]);
    expect(found['kube-apiserver']).toEqual({ path: join(made.cacheFolder, 'kube-apiserver'), source: 'download' });
  });

  it('builds when the releases cannot be had, and says why', async () => {
    const build: Provider = (_programs, target) => {
      put(target, 'kube-apiserver', apiserver);
      return Promise.resolve();
    };
    const found = await binaries({ download: unreachable, build }).find(['kube-apiserver']);
    expect(found['kube-apiserver'].source).toBe('build');
    expect(notes).toContain('the release server cannot be reached; building from the Go modules instead');
  });

  it('refuses with the sentence of the build when that fails, too', async () => {
    const build: Provider = () => Promise.reject(new SetupError('there is no Go on PATH'));
    await expect(binaries({ download: unreachable, build }).find(['etcd'])).rejects.toThrow('there is no Go on PATH');
  });

  it('lets a second one wait for the first, so that nothing is built twice', async () => {
    let builds = 0;
    const build: Provider = async (_programs, target) => {
      builds += 1;
      await until(() => notes.some((note) => note.includes('waiting for it')));
      put(target, 'kube-apiserver', apiserver);
    };
    const options = { download: unreachable, build };
    const found = await Promise.all([binaries(options).find(['kube-apiserver']), binaries(options).find(['kube-apiserver'])]);
    expect(builds).toBe(1);
    expect(found.map((each) => each['kube-apiserver'].source).sort()).toEqual(['build', 'cache']);
  });
});

describe('cacheRoot', () => {
  it.each([
    [{ HARIKUBE_CACHE: '/a', XDG_CACHE_HOME: '/b', HOME: '/c' }, '/a'],
    [{ XDG_CACHE_HOME: '/b', HOME: '/c' }, '/b/harikube'],
    [{ HOME: '/c' }, '/c/.cache/harikube'],
  ])('of %j is %s', (env, expected) => {
    expect(cacheRoot(env)).toBe(expected);
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  for (const over = AbortSignal.timeout(20_000); !isTrue(); await delay(5, undefined, { signal: over }));
}

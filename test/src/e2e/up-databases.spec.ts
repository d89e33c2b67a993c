import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KubeClient } from '@harikube/kube';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { type Env, readEnv } from '@harikube/platform';
import { type EtcdServer, type MariadbServer, type PostgresServer, startEtcd, startMariadb, startPostgres } from '@harikube/testing';
import { type Answer } from './answer.js';
import { expectMailed } from './caught-mails.js';
import { eventually } from './eventually.js';
import { Kubectl } from './kubectl.js';
import { UpProcess } from './up-process.js';
import { askAbout } from './up-processes.js';

const MINUTES = 60_000;
const PLUGINS = fileURLToPath(new URL('../../../node_modules/.bin', import.meta.url));
const GROUP = 'product.webshop.harikube.info';
/** How long a request waits for a database: the router's default. */
const BACKEND_TIMEOUT_MS = 5_000;

let data: string;
let env: Env;
let kubectl: Kubectl;
let up: UpProcess;
let postgres: PostgresServer;
let mariadb: MariadbServer;
let etcd: EtcdServer;
/** The names of the databases. */
let tenants: string;
let users: string;

function register(name: string): Promise<Answer> {
  const person = ['--first-name=Jane', '--last-name=Doe', `--email=${name}@example.com`, '--phone-number=+36301234567'];
  const company = ['--country=HU', '--city=Budapest', '--address=Example street 1', '--postal-code=1011'];
  return kubectl.run(['create', 'registrationrequest', name, '--password-stdin', ...person, ...company], 'Webshop-123');
}

const nameIn = (dataSourceName: string): string => dataSourceName.slice(dataSourceName.lastIndexOf('/') + 1);

/** Live keys of the webshop's three kinds, by the database that holds them. */
async function places(): Promise<Record<string, readonly string[]>> {
  const kindOf = (key: unknown): string => String(key).split('/')[3] ?? '';
  const inPostgres = await postgres.query('SELECT key FROM records', tenants);
  const inMariadb = await mariadb.query(`SELECT \`key\` FROM \`${users}\`.records`);
  const file = new DatabaseSync(join(data, 'db', 'email.db'), { readOnly: true });
  const inFile = file.prepare('SELECT key FROM records').all();
  file.close();
  const inEtcd = await etcd.etcdctl('get', '--prefix', '--keys-only', `/registry/${GROUP}/`);
  const kinds = (keys: readonly unknown[]): string[] => [...new Set(keys.map(kindOf))].toSorted();
  return {
    postgres: kinds(inPostgres.rows.map((row: { key: string }) => row.key)),
    mariadb: kinds(inMariadb.map((row) => row['key'])),
    sqlite: kinds(inFile.map(({ key }) => key)),
    etcd: kinds(inEtcd.split('\n').filter((key) => key !== '')),
  };
}

beforeAll(async () => {
  [postgres, mariadb, etcd] = await Promise.all([startPostgres(), startMariadb(), startEtcd()]);
  const [inPostgres, inMariadb, main] = [await postgres.createDatabase(), await mariadb.createDatabase(), await etcd.createDatabase()];
  tenants = nameIn(inPostgres);
  users = nameIn(inMariadb);
  data = join(await mkdtemp(join(tmpdir(), 'harikube-databases-')), 'data');
  const topology = join(dirname(data), 'topology.yaml');
  const rules = { tenant: inPostgres, user: inMariadb, email: 'sqlite://./email.db' };
  const backends = Object.entries(rules).map(([name, endpoint]) => ({
    name,
    endpoint,
    customresource: { group: GROUP, kind: `${name}s` },
  }));
  await writeFile(topology, JSON.stringify({ backends }));
  const own = readEnv();
  const { kubectl: found } = await new Binaries({ env: own, progress: silent }).find(['kubectl']);
  const PATH = [dirname(found.path), own['PATH'], PLUGINS].join(delimiter);
  env = { ...own, PATH, KUBECONFIG: join(data, 'kubeconfig'), NODE_OPTIONS: '' };
  kubectl = new Kubectl('kubectl', env);
  up = await UpProcess.start(data, await freePort(), env, '--endpoint', main, '--topology', topology);
}, 15 * MINUTES);

afterAll(async () => {
  await up.killAll();
  await Promise.all([postgres.stop(), mariadb.stop(), etcd.stop()]);
  await rm(dirname(data), { recursive: true });
});

describe('the platform on four kinds of databases', () => {
  it('registers a user and sends the mail: company in PostgreSQL, person in MariaDB, mail in SQLite, the rest in etcd', async () => {
    expect(await register('jane')).toMatchObject({ code: 0 });
    const client = KubeClient.fromConfig({ kubeconfig: join(data, 'kubeconfig'), userAgent: 'test' });
    expect(await expectMailed(client, data, ['jane@example.com'])).toBe(0);
    await client.close();
    const { etcd: rest, ...others } = await places();
    expect(others).toEqual({ postgres: ['tenants'], mariadb: ['users'], sqlite: ['emails'] });
    expect(rest).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(?:tenants|users|emails)$/)]));
    expect(rest).toContain('emailtemplates');
  });

  it('shows them all, and no password', async () => {
    const { code, out } = await askAbout(data, env, 'topology', 'status');
    expect(code).toBe(0);
    for (const place of [/tenant +postgres:\/\/postgres:\*\*\*@/, /user +mysql:\/\/harikube:\*\*\*@/, /email +sqlite:/, /main +http:/])
      expect(out).toMatch(place);
    const logs = (await askAbout(data, env, 'status')).out + up.output.join('\n') + out;
    expect(logs).not.toContain(mariadb.password);
  });

  it('goes on with every other kind while a database is away, says so, and has its keys again when it is back', async () => {
    await postgres.kill();
    const started = performance.now();
    // kube-apiserver lists it from its cache; a single object at its newest is read from the store.
    const write = await kubectl.run(['create', '-f', '-'], tenantText('late'));
    expect(write.code).toBe(1);
    expect(performance.now() - started).toBeLessThan(3 * BACKEND_TIMEOUT_MS);
    expect(await kubectl.run(['create', 'namespace', 'beside'])).toMatchObject({ code: 0 });
    expect(await kubectl.run(['get', 'users', '-A', '-o', 'name'])).toMatchObject({ code: 0, out: expect.stringContaining('user.') });
    const told = await askAbout(data, env, 'topology', 'status');
    expect(told.out).toMatch(/^ +(?!ok)\S.* tenant +postgres:/m);
    expect(told.out).toMatch(/^ +ok +user +mysql:/m);
    await postgres.start();
    await eventually(
      () => kubectl.run(['create', '-f', '-'], tenantText('late')),
      ({ code }) => code === 0,
    );
    expect(await register('joan')).toMatchObject({ code: 0 });
    const { rows } = await postgres.query('SELECT count(*) AS keys FROM records', tenants);
    expect(Number((rows as { keys: string }[])[0]?.keys)).toBe(3);
  });
});

function tenantText(name: string): string {
  const spec = { companyName: name, country: 'HU', city: 'Budapest', address: 'Example street 1', postalCode: '1011' };
  return JSON.stringify({ apiVersion: `${GROUP}/v1`, kind: 'Tenant', metadata: { name }, spec });
}

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  AGGREGATED_API_VERSION,
  API_VERSION,
  claimName,
  EMAIL_CLAIMS,
  REGISTRATION_ANNOTATION,
  REGISTRATION_REQUESTS,
  TENANTS,
} from '@harikube/crds';
import { ConnectionError, KubeClient, StatusError } from '@harikube/kube';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { expectMailed } from './caught-mails.js';
import { Kubectl } from './kubectl.js';
import { seeded } from './seeded.js';
import { UpProcess } from './up-process.js';
import { everythingReady, processesOf } from './up-processes.js';
import { expectWhole, removeTenants } from './whole-registrations.js';
import { until } from './until.js';

const SECONDS = 1000;
const MINUTES = 60 * SECONDS;
/** REGISTRATIONS=200 in the long form. */
const MANY = Number(readEnv()['REGISTRATIONS'] ?? '30');
/** REGISTRATION_KILLS=40 in the long form; each process once when it is absent. */
const KILLS = readEnv()['REGISTRATION_KILLS'];
const REGISTRATIONS = `/apis/${AGGREGATED_API_VERSION}/registrations`;
const PASSWORD = 'Canary-Passw0rd';
/** Of a user called John. */
const EXAMPLE = fileURLToPath(new URL('../../../examples/registration.yaml', import.meta.url));
const BIN = fileURLToPath(new URL('../../../apps/cli/bin', import.meta.url));

let folder: string;
let data: string;
let kubectl: Kubectl;
let up: UpProcess;
let client: KubeClient;

interface Registration {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: object;
  readonly status: { readonly uid: string; readonly tenant: string; readonly namespace: string; readonly user: string };
}

function registration(name: string, email = `${name}@example.com`, more: object = {}): object {
  return {
    apiVersion: AGGREGATED_API_VERSION,
    kind: 'Registration',
    metadata: { name },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email },
      password: PASSWORD,
      tenant: { country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
      ...more,
    },
  };
}

async function register(name: string, email?: string): Promise<Registration> {
  return (await client.raw('POST', REGISTRATIONS, undefined, registration(name, email))) as Registration;
}

/** Runs `work` for each of the items, `callers` at a time. */
async function inParallel<T>(callers: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const caller = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

/** How many keys below each prefix each database file has, read while the router runs. */
async function keysByFile(prefixes: Readonly<Record<string, string>>): Promise<Record<string, Record<string, number>>> {
  const counts: Record<string, Record<string, number>> = {};
  for (const file of (await readdir(join(data, 'db'))).filter((name) => name.endsWith('.db'))) {
    const database = new DatabaseSync(join(data, 'db', file), { readOnly: true });
    const statement = database.prepare('SELECT count(*) AS keys FROM records WHERE key LIKE ?');
    counts[file] = Object.fromEntries(
      Object.entries(prefixes).map(([name, prefix]) => [name, Number(statement.get(`${prefix}%`)?.['keys'])]),
    );
    database.close();
  }
  return counts;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-registration-'));
  data = join(folder, 'data');
  const found = await new Binaries({ env: readEnv(), progress: silent }).find(['kubectl']);
  const path = [BIN, dirname(found.kubectl.path), dirname(process.execPath), readEnv()['PATH'] ?? ''].join(delimiter);
  const env = { ...readEnv(), KUBECONFIG: join(data, 'kubeconfig'), NODE_OPTIONS: '', PATH: path };
  // By way of PATH, on which it looks for its plugin.
  kubectl = new Kubectl('kubectl', env);
  up = await UpProcess.start(data, await freePort(), env, '--separate');
  client = KubeClient.fromConfig({ kubeconfig: join(data, 'kubeconfig'), userAgent: 'harikube-test', deadlineMs: 70 * SECONDS });
}, 15 * MINUTES);

afterAll(async () => {
  await client.close();
  await up.stop();
  await rm(folder, { recursive: true });
});

describe('a registration', () => {
  it('is answered with its result in each of its forms, and puts each kind into its database', async () => {
    const plugin = JSON.parse(
      await kubectl.read(
        [
          ...['create', 'registrationrequest', 'jane', '--first-name=Jane', '--last-name=Doe', '--email=Jane@Example.com'],
          ...['--phone-number=+15551234567', '--company=Acme', '--country=HU', '--city=Budapest', '--address=Main street 1'],
          ...['--postal-code=1011', '--password-stdin', '-o', 'json'],
        ],
        `${PASSWORD}\n`,
      ),
    ) as Registration;
    const raw = JSON.parse(await kubectl.read(['create', '--raw', `${REGISTRATIONS}/john`, '-f', EXAMPLE])) as Registration;
    const third = JSON.parse(
      await kubectl.read(['create', '-f', '-', '-o', 'json'], { ...registration('x'), metadata: { generateName: 'jim-' } }),
    ) as Registration;
    const answers = [plugin, raw, third];
    expect(answers.map(({ kind }) => kind)).toEqual(['Registration', 'Registration', 'Registration']);
    expect(answers.map(({ metadata }) => metadata.name.replace(/-.*/, ''))).toEqual(['jane', 'john', 'jim']);
    for (const { status, spec } of answers) {
      expect(status).toMatchObject({ tenant: status.uid, namespace: status.uid, user: status.uid });
      expect(spec).not.toHaveProperty('password');
    }

    // The request itself runs the same flow.
    const direct = { ...registration('direct'), apiVersion: API_VERSION, kind: 'RegistrationRequest' };
    await kubectl.succeed(['create', '-f', '-'], direct);
    await until(client, REGISTRATION_REQUESTS, (requests) => requests.size === 0);
    const tenants = (await client.list(TENANTS, {})).items;
    const names = tenants.map(({ metadata }) => String(metadata.name));
    expect(tenants.map(({ metadata }) => metadata.annotations?.[REGISTRATION_ANNOTATION]?.replace(/-.*/, '')).toSorted()).toEqual([
      'direct',
      'jane',
      'jim',
      'john',
    ]);
    await expectWhole(client, names);

    const group = '/registry/product.webshop.harikube.info';
    const namespaces = '/registry/namespaces/';
    const counted = await keysByFile({
      tenants: `${group}/tenants/`,
      users: `${group}/users/`,
      emails: `${group}/emails/`,
      namespace: `${namespaces}${names[0]}`,
      secrets: `/registry/secrets/${names[0]}/`,
      rights: `/registry/rolebindings/${names[0]}/`,
    });
    const none = { tenants: 0, users: 0, emails: 0, namespace: 0, secrets: 0, rights: 0 };
    expect(counted).toEqual({
      'main.db': { ...none, namespace: 1, secrets: 1, rights: 4 },
      'tenant.db': { ...none, tenants: 4 },
      'user.db': { ...none, users: 4 },
      'email.db': { ...none, emails: 4 },
    });
    const [header = ''] = (await kubectl.read(['get', 'users', '-A'])).split('\n');
    expect(header.split(/\s+/)).toEqual(['NAMESPACE', 'NAME', 'FIRSTNAME', 'LASTNAME', 'EMAIL', 'PHASE', 'READY', 'AGE']);
    expect(await kubectl.read(['get', 'tenants,users,emails', '-A'])).toMatch(/Acme[^]*Jane +Doe +Jane@Example\.com +Pending +True/);
  });

  it('that cannot succeed is answered with its cause, in words that kubectl shows', async () => {
    const sent = (name: string, more: object, email?: string): object => registration(name, email, more);
    expect(await kubectl.refuse(['create', '-f', '-'], sent('weak', { password: 'weak' }))).toMatch(/spec\.password/);
    expect(await kubectl.refuse(['create', '-f', '-'], sent('odd', { nickname: 'J' }))).toMatch(/unknown field "spec\.nickname"/);
    expect(await kubectl.refuse(['create', '-f', '-'], sent('again', {}, 'JANE@example.com'))).toMatch(/e-mail address/);
    expect(await kubectl.refuse(['create', '-f', '-', '--as=nobody'], sent('nobody', {}))).toMatch(/User "nobody" cannot create/);
    expect((await client.list(REGISTRATION_REQUESTS, {})).items).toEqual([]);
    // Nothing that anybody can look at has the password of anybody.
    for (const file of await readdir(join(data, 'logs'))) expect(await readFile(join(data, 'logs', file), 'utf8')).not.toContain(PASSWORD);
  });

  it(
    'succeeds for each of many by twenty callers at once, is welcomed by one mail, and goes with its Tenant',
    async () => {
      await removeTenants(client);
      const names: string[] = [];
      await inParallel(
        20,
        Array.from({ length: MANY }, (_, index) => `many-${index}`),
        async (name) => {
          const { status } = await register(name);
          names.push(status.tenant);
        },
      );
      expect(names.length).toBe(MANY);
      await until(client, REGISTRATION_REQUESTS, (requests) => requests.size === 0);
      await expectWhole(client, names);
      const addresses = Array.from({ length: MANY }, (_, index) => `many-${index}@example.com`);
      expect(await expectMailed(client, data, addresses)).toBe(0);
      await removeTenants(client, 200);
    },
    8 * MINUTES,
  );

  it('is given to exactly one of twenty that ask for one address at once', async () => {
    await removeTenants(client);
    const answers: string[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        try {
          await register(`twin-${index}`, index % 2 === 0 ? 'Twin@Example.com' : 'tWIN@example.COM');
          answers.push('201');
        } catch (error) {
          if (!(error instanceof StatusError)) throw error;
          answers.push(`${error.code}`);
        }
      }),
    );
    expect(answers.toSorted()).toEqual(['201', ...Array.from({ length: 19 }, () => '409')]);
    const claim = await client.get(EMAIL_CLAIMS, claimName('twin@example.com'));
    await expectWhole(client, [claim.spec.requestUid]);
    await removeTenants(client);
  });

  it(
    'ends in a right answer and a mail while one process after another is killed',
    async () => {
      await removeTenants(client);
      let isOver = false;
      const done: string[] = [];
      const caller = async (number: number): Promise<void> => {
        for (let count = 0; !isOver; count++) {
          const name = `killed-${number}-${count}`;
          // The same name and address again until it is certain: that is what a client does after an error that may pass.
          for (;;) {
            try {
              await register(name);
              break;
            } catch (error) {
              // It was registered, and the answer was lost.
              if (error instanceof StatusError && error.code === 409 && (await isRegistered(name))) break;
              const isRepeatable =
                error instanceof ConnectionError || (error instanceof StatusError && (error.code >= 500 || error.code === 429));
              if (!isRepeatable) throw error;
            }
          }
          done.push(name);
        }
      };
      const isRegistered = async (name: string): Promise<boolean> => {
        const { items } = await client.list(TENANTS, {});
        return items.some(({ metadata }) => metadata.annotations?.[REGISTRATION_ANNOTATION] === name);
      };
      const callers = Promise.all([caller(0), caller(1), caller(2), caller(3)]).finally(() => (isOver = true));
      const random = seeded(20261126);
      const names = [...(await processesOf(data)).keys()].filter((name) => name !== 'kube-controller-manager').toSorted();
      const victims = new Map<string, number>();
      let left: string[] = [];
      for (let kills = 0; kills < Number(KILLS ?? names.length) && !isOver; kills++) {
        if (left.length === 0) left = [...names];
        const [name = ''] = left.splice(Math.floor(random() * left.length), 1);
        const pid = (await processesOf(data)).get(name);
        if (pid === undefined) throw new Error(`${name} does not run`);
        process.kill(pid, 'SIGKILL');
        const times = (victims.get(name) ?? 0) + 1;
        victims.set(name, times);
        await up.says(`${name} runs again`, times);
        await everythingReady(data, kubectl.env);
      }
      isOver = true;
      await callers;
      expect([...victims.keys()].toSorted()).toEqual(names);
      expect(names).toEqual(expect.arrayContaining(['router', 'kube-apiserver', 'watch-trigger', 'email-function']));
      await until(client, REGISTRATION_REQUESTS, (requests) => requests.size === 0, { seconds: 120 });
      const tenants = (await client.list(TENANTS, {})).items;
      const registered = tenants.map(({ metadata }) => metadata.annotations?.[REGISTRATION_ANNOTATION]);
      expect(registered.toSorted()).toEqual(done.toSorted());
      await expectWhole(
        client,
        tenants.map(({ metadata }) => String(metadata.name)),
      );
      await expectMailed(
        client,
        data,
        done.map((name) => `${name}@example.com`),
        180,
      );
    },
    15 * MINUTES,
  );
});

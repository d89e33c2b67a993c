import { Agent, request } from 'node:https';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AGGREGATED_API_VERSION, API_VERSION, READY, type Tenant, TENANTS, USERS } from '@harikube/crds';
import { KubeClient } from '@harikube/kube';
import { freePort } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { UpProcess } from '../e2e/up-process.js';
import { until } from '../e2e/until.js';
import { atOnce, mean, quantile } from './load.js';
import { table } from './table.js';

const WARM_UP = 10;
const SEQUENTIAL = 50;
const CALLERS = 20;
const PARALLEL = 200;
const AUTHORISED = 500;
/** Tenants that are made at once. */
const MAKERS = 16;

export interface RegistrationsBench {
  readonly oneCaller: readonly number[];
  readonly manyCallers: readonly number[];
  readonly perSecond: number;
  /** By the number of Tenants: what a user of one of them asks for. */
  readonly authorised: readonly {
    readonly tenants: number;
    readonly ofTenant: readonly number[];
    readonly ofNamespace: readonly number[];
    readonly refused: readonly number[];
  }[];
  readonly tenantsPerSecond: number;
}

/** Registers on a `harikube up` of its own, then fills it with Tenants and asks as the user of one of them. */
export async function measureRegistrations(
  tenants: number,
  { folder, env, note }: { folder: string; env: Env; note: (text: string) => void },
): Promise<RegistrationsBench> {
  const data = join(folder, 'registrations');
  note('starting harikube up');
  const up = await UpProcess.start(data, await freePort(), { ...env, NODE_OPTIONS: '' });
  const client = KubeClient.fromConfig({ kubeconfig: join(data, 'kubeconfig'), userAgent: 'harikube-bench', deadlineMs: 60_000 });
  try {
    note('registering');
    await inTurn(WARM_UP, (index) => register(client, `warm-${index}`));
    const oneCaller = await inTurn(SEQUENTIAL, (index) => register(client, `one-${index}`));
    const began = performance.now();
    const manyCallers = await atOnce(CALLERS, PARALLEL, (index) => register(client, `many-${index}`));
    const perSecond = (1000 * PARALLEL) / (performance.now() - began);
    if (tenants === 0) return { oneCaller, manyCallers, perSecond, authorised: [], tenantsPerSecond: Number.NaN };
    const user = await firstUser(client, data);
    const few = (await client.list(TENANTS, {})).items.length;
    const before = { tenants: few, ...(await askAs(user)) };
    note(`making ${tenants} Tenants`);
    const filled = performance.now();
    await atOnce(MAKERS, tenants - few, async (index) => void (await client.create(TENANTS, tenantOf(`filler-${index}`))));
    const isReady = ({ status }: Tenant): boolean =>
      status?.conditions?.some(({ type, status: is }) => type === READY && is === 'True') === true;
    await until(client, TENANTS, (all) => all.size >= tenants && [...all.values()].every(isReady), { seconds: 3600 });
    const tenantsPerSecond = (1000 * (tenants - few)) / (performance.now() - filled);
    note('asking as a user');
    const after = { tenants, ...(await askAs(user)) };
    return { oneCaller, manyCallers, perSecond, authorised: [before, after], tenantsPerSecond };
  } finally {
    await client.close();
    await up.stop();
  }
}

interface Asker {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
  readonly namespace: string;
  readonly name: string;
}

async function firstUser(client: KubeClient, data: string): Promise<Asker> {
  const [first] = (await client.list(USERS, { limit: 1 })).items;
  const { name = '', namespace = '' } = first?.metadata ?? {};
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
  const answer = (await client.raw('POST', path, undefined, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 7200 },
  })) as {
    readonly status: { readonly token: string };
  };
  const [, server = ''] = /server: (\S+)/.exec(await readFile(join(data, 'kubeconfig'), 'utf8')) ?? [];
  return { server, ca: await readFile(join(data, 'pki', 'ca.crt'), 'utf8'), token: answer.status.token, namespace, name };
}

/** Each in turn by one connection: what a right of the whole cluster grants, what one of the namespace grants, and what nothing grants. */
async function askAs(user: Asker): Promise<{ ofTenant: number[]; ofNamespace: number[]; refused: number[] }> {
  const api = `/apis/${API_VERSION}`;
  const ask = (path: string, code: number): Promise<number[]> => inTurn(AUTHORISED, () => get(user, path, code));
  const ofTenant = `${api}/tenants/${user.namespace}`;
  await ask(ofTenant, 200);
  return {
    ofTenant: await ask(ofTenant, 200),
    ofNamespace: await ask(`${api}/namespaces/${user.namespace}/users/${user.name}`, 200),
    refused: await ask(`${api}/namespaces/${user.namespace}/users/another`, 403),
  };
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function get({ server, ca, token }: Asker, path: string, code: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(`${server}${path}`, { ca, agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
      response.resume();
      response.once('end', () => {
        if (response.statusCode === code) resolve();
        else reject(new Error(`GET ${path} was answered with ${response.statusCode}, not ${code}`));
      });
    });
    sent.once('error', reject);
    sent.end();
  });
}

/** How long each took, in milliseconds. */
async function inTurn(count: number, work: (index: number) => Promise<void>): Promise<number[]> {
  return await atOnce(1, count, work);
}

async function register(client: KubeClient, name: string): Promise<void> {
  await client.raw('POST', `/apis/${AGGREGATED_API_VERSION}/registrations`, undefined, {
    apiVersion: AGGREGATED_API_VERSION,
    kind: 'Registration',
    metadata: { name },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email: `${name}@example.com` },
      password: 'Bench-Passw0rd',
      tenant: tenantOf(name).spec,
    },
  });
}

function tenantOf(name: string): Tenant {
  return {
    apiVersion: API_VERSION,
    kind: 'Tenant',
    metadata: { name },
    spec: { companyName: `Company ${name}`, country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
  };
}

export function registrationsTables({ oneCaller, manyCallers, perSecond, authorised, tenantsPerSecond }: RegistrationsBench): string {
  const spread = (times: readonly number[], digits: number): string =>
    [0.5, 0.95, 0.99, 1].map((share) => quantile(times, share).toFixed(digits)).join(' / ');
  const registrations = table(
    ['registrations', 'p50 / p95 / p99 / slowest ms', 'per second'],
    [
      ['1 caller', spread(oneCaller, 0), (1000 / mean(oneCaller)).toFixed(1)],
      [`${CALLERS} callers`, spread(manyCallers, 0), perSecond.toFixed(1)],
    ],
  );
  if (authorised.length === 0) return registrations;
  const asked = table(
    ['Tenants', 'get of the own Tenant, ms', 'get of the own User, ms', 'get of another User (403), ms'],
    authorised.map(({ tenants, ofTenant, ofNamespace, refused }) => [
      `${tenants}`,
      spread(ofTenant, 2),
      spread(ofNamespace, 2),
      spread(refused, 2),
    ]),
  );
  const made = `Tenants made ready, ${MAKERS} creates at once: ${tenantsPerSecond.toFixed(1)} per second.`;
  return [registrations, asked, made].join('\n\n');
}

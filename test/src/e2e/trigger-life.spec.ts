import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { EMAILS } from '@harikube/crds';
import { CONFIG_MAPS, type KubeObject, leaseNameOf, LEASES } from '@harikube/kube';
import { Binaries, freePort, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { answerOf } from './answer.js';
import type { ReceivedRequest, Respond } from './event-receiver.js';
import { eventually } from './eventually.js';
import type { ProgramProcess } from './program-process.js';
import type { TriggerCase } from './trigger-case.js';
import { PLATFORM, sourceRole, TriggerStage } from './trigger-stage.js';

const CONFIG_MAP = { resource: { apiVersion: 'v1', kind: 'ConfigMap' } };
const READINGS = 'readings.lab.example.com';

interface Lease extends KubeObject {
  readonly spec: {
    readonly holderIdentity: string;
    readonly leaseDurationSeconds: number;
    readonly acquireTime: string;
    readonly renewTime: string;
  };
}

let stage: TriggerStage;
let program: ProgramProcess;
let metricsUrl: string;

/** With a lease it works only while it holds it. */
async function launch(...more: string[]): Promise<ProgramProcess> {
  const port = await freePort();
  metricsUrl = `http://127.0.0.1:${port}/metrics`;
  return stage.launch('--allowed-targets=127.0.0.0/8', `--metrics-bind-address=127.0.0.1:${port}`, ...more);
}

beforeAll(async () => {
  // Watches of ConfigMaps are served from the store, which forgets what it is told to forget.
  stage = await TriggerStage.start({ name: 'trigger-life', extraApiServerArgs: ['--watch-cache-sizes=configmaps#0'] });
  await stage.apply(sourceRole('', 'configmaps'), sourceRole('lab.example.com', 'readings'));
  program = await launch();
}, 900_000);

afterEach(async () => {
  stage.receiver.respond = answerAll;
  await stage.clear();
});
afterAll(() => stage?.stop());

const answerAll: Respond = (_, response) => void response.end();
const header = ({ headers }: ReceivedRequest, name: string): string | undefined => headers[name]?.toString();
const idsOf = (of: TriggerCase): (string | undefined)[] => of.requests.map((request) => header(request, 'ce-id'));
const names = (first: number, last: number): string[] => Array.from({ length: last - first + 1 }, (_, index) => `mail-${first + index}`);

/** Resolves when everything up to the Emails that there are is covered by the cursor that is stored. */
async function allStored(of: TriggerCase): Promise<void> {
  const { items } = await stage.client.list(EMAILS, { labelSelector: of.selector });
  const last = items.map(({ metadata }) => BigInt(metadata.resourceVersion ?? 0)).reduce((one, other) => (one > other ? one : other), 0n);
  await of.status(({ cursor, pending }) => pending === 0 && BigInt(cursor?.resourceVersion ?? 0) >= last);
}

async function configMap(of: TriggerCase, name: string): Promise<KubeObject> {
  return await stage.client.create(CONFIG_MAPS, {
    metadata: { name: `${of.name}-${name}`, namespace: 'default', labels: { case: of.name } },
  });
}

async function touch(of: TriggerCase, name: string): Promise<void> {
  const patch = { metadata: { labels: { touched: 'true' } } };
  await stage.client.patch(CONFIG_MAPS, `${of.name}-${name}`, 'default', patch, { type: 'merge' });
}

describe('a trigger whose spec changes', () => {
  it('goes on from where it is, and leaves no event out', async () => {
    const of = stage.case();
    await of.create({ sendInitialEvents: false, concurrency: 4 });
    await of.hasBegun();
    const wanted = names(1, 60);
    const left = [...wanted];
    const writer = async (): Promise<void> => {
      for (let name = left.shift(); name !== undefined; name = left.shift()) await of.email(name);
    };
    const written = Promise.all([writer(), writer(), writer()]);
    for (let version = 1; version <= 5; version++) {
      await of.arrived(version * 10);
      await of.change({ url: { static: `${of.url}/v${version}` } });
    }
    await written;
    const isTold = (): boolean => new Set(of.told).size === wanted.length;
    await stage.receiver.until(isTold);
    expect(new Set(of.told)).toEqual(new Set(wanted.map((name) => `ADDED ${name}`)));
    // What is told twice has the same id.
    expect(new Set(idsOf(of)).size).toBe(wanted.length);
    await of.status(({ observedGeneration }) => observedGeneration === 6);
    await of.email('last');
    await stage.receiver.until(() => of.told.includes('ADDED last'));
    expect(of.requests.at(-1)?.path).toBe(`/${of.name}/v5`);
  });

  it('cuts a request that hangs, and makes it anew by the spec of now', async () => {
    const of = stage.case();
    const isCut = Promise.withResolvers<void>();
    stage.receiver.respond = ({ path }, response) => {
      if (path === `/${of.name}/hangs`) response.once('close', () => isCut.resolve());
      else response.end();
    };
    await of.email('one');
    await of.create({ url: { static: `${of.url}/hangs` }, delivery: { timeout: '5m', retries: 1 } });
    await of.arrived(1);
    await of.change({ url: { static: `${of.url}/answers` } });
    await isCut.promise;
    await of.arrived(2);
    expect(of.requests.map(({ path }) => path)).toEqual([`/${of.name}/hangs`, `/${of.name}/answers`]);
    expect(new Set(idsOf(of)).size).toBe(1);
  });
});

describe('a trigger that is deleted', () => {
  it('sends nothing more, and a request that hangs is cut', async () => {
    const of = stage.case();
    const control = stage.case();
    const isCut = Promise.withResolvers<void>();
    stage.receiver.respond = (request, response) => {
      if (request.path === `/${of.name}`) response.once('close', () => isCut.resolve());
      else response.end();
    };
    for (const one of [of, control]) {
      await one.create({ sendInitialEvents: false, labelSelectors: [of.selector], delivery: { timeout: '5m', retries: 1 } });
      await one.hasBegun();
    }
    await of.email('one');
    await of.arrived(1);
    await of.remove();
    await isCut.promise;
    await of.email('two');
    await control.arrived(2);
    expect(of.told).toEqual(['ADDED one']);
  });
});

describe('triggers on the same kind and selector', () => {
  it('share one watch, and a bad one holds up no other', async () => {
    const good = stage.case();
    const hanging = stage.case();
    const broken = stage.case();
    const invalid = stage.case();
    const unreachable = stage.case();
    const held: (() => void)[] = [];
    stage.receiver.respond = ({ path }, response) => {
      if (path === `/${hanging.name}`) held.push(() => response.end());
      else response.writeHead(path === `/${broken.name}` ? 503 : 200).end();
    };
    // The garbage collector watches every kind in all namespaces.
    const common = { sendInitialEvents: false, labelSelectors: [good.selector], namespaces: ['default'] };
    await hanging.create({ ...common, delivery: { timeout: '5m', retries: 1 } });
    await broken.create(common);
    await invalid.create({ ...common, body: { template: '{{ .metadata.labels.nothing }}' } });
    await unreachable.create({ ...common, url: { static: 'http://127.0.0.1:1/' } });
    await good.create(common);
    for (const of of [hanging, broken, invalid, unreachable, good]) await of.hasBegun();
    const wanted = names(1, 40);
    for (const name of wanted) await good.email(name);
    await good.arrived(wanted.length);
    expect(good.told).toEqual(wanted.map((name) => `ADDED ${name}`));
    expect(hanging.told).toEqual(['ADDED mail-1']);
    expect((await good.status(({ counters }) => counters?.delivered === 40)).lastError).toBeUndefined();
    expect((await invalid.status(({ counters }) => counters?.dropped === 40)).lastError?.reason).toBe('TemplateFailed');
    expect(await broken.condition('Delivering', 'False', 'HTTP503')).toContain('the destination does not answer as it should');
    await unreachable.condition('Delivering', 'False', 'ConnectionFailed');
    const watches = async (): Promise<string[]> => {
      const text = String(await stage.client.raw('GET', '/metrics'));
      return text
        .split('\n')
        .filter((line) => /^apiserver_longrunning_requests\{.*resource="emails",scope="namespace".*verb="WATCH"/.test(line));
    };
    expect(await eventually(watches, ([first]) => first?.endsWith(' 1') === true)).toHaveLength(1);
    for (const answer of held) answer();
  });
});

describe('a trigger on a kind that comes and goes', () => {
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: READINGS },
    spec: {
      group: 'lab.example.com',
      scope: 'Namespaced',
      names: { kind: 'Reading', plural: 'readings' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', properties: { count: { type: 'integer', format: 'int64' } } } },
            },
          },
        },
      ],
    },
  };
  const install = async (): Promise<void> => {
    await stage.apply(crd);
    await stage.cluster.kubectl.established(['crd', READINGS]);
  };
  const reading = (name: string): Promise<string> =>
    stage.cluster.kubectl.succeed(
      ['create', '-n', 'default', '-f', '-'],
      `{"apiVersion": "lab.example.com/v1", "kind": "Reading", "metadata": {"name": "${name}"}, "spec": {"count": 9007199254740993}}`,
    );

  it('begins when the kind is there, sends integers beyond 2^53 as they are, and goes on when the kind is back', async () => {
    const of = stage.case();
    await of.create({
      resource: { apiVersion: 'lab.example.com/v1', kind: 'Reading' },
      labelSelectors: [],
      headers: { template: { 'x-next': '{{ add .spec.count 2 }}' } },
    });
    expect(await of.condition('Watching', 'False', 'ResourceNotFound')).toContain('Reading');
    await install();
    await reading(`${of.name}-one`);
    const [request] = await of.arrived(1);
    expect(request?.body).toMatch(/"count":9007199254740993\b/);
    expect(request?.headers).toMatchObject({ 'x-next': '9007199254740995', 'ce-subject': expect.stringContaining('/readings/') });
    await of.condition('Ready', 'True', 'Ready');
    await stage.cluster.kubectl.succeed(['delete', 'crd', READINGS]);
    await of.arrived(2);
    await of.condition('Watching', 'False', 'ResourceNotFound');
    await install();
    await reading(`${of.name}-two`);
    await stage.receiver.until(() => of.told.includes('ADDED two'));
    expect(of.told).toEqual(['ADDED one', 'DELETED one', 'ADDED two']);
  });
});

describe('a trigger whose program ends', () => {
  it.each([
    ['kill -9', async (of: TriggerCase): Promise<unknown> => (await allStored(of), program.kill())],
    ['SIGTERM', async (): Promise<unknown> => program.stop()],
  ])('loses nothing and tells nothing twice that its stored cursor covers: %s', async (_, end) => {
    const of = stage.case();
    await of.create({ sendInitialEvents: false });
    await of.hasBegun();
    for (const name of names(1, 10)) await of.email(name);
    await of.arrived(10);
    await end(of);
    for (const name of names(11, 20)) await of.email(name);
    await of.deleteEmail('mail-1');
    program = await launch();
    await of.arrived(21);
    expect(of.told).toEqual([...names(1, 20).map((name) => `ADDED ${name}`), 'DELETED mail-1']);
    expect(new Set(idsOf(of)).size).toBe(21);
    const { counters } = await of.status((status) => status.counters?.delivered === 21);
    expect(counters).toMatchObject({ received: 21, failed: 0 });
  });

  it('sends a request that was under way again under its id when it was killed, and not when it could finish', async () => {
    const of = stage.case();
    const held: (() => void)[] = [];
    stage.receiver.respond = (request, response) => {
      if (request.path !== `/${of.name}`) response.end();
      else held.push(() => void response.end());
    };
    await of.create({ sendInitialEvents: false, delivery: { timeout: '1m', retries: 1 } });
    await of.hasBegun();
    await of.email('one');
    await of.arrived(1);
    await program.kill();
    program = await launch();
    await of.arrived(2);
    // It is told to end while it waits for an answer, which comes.
    const ended = program.stop();
    held[1]?.();
    expect(await ended).toBe(0);
    program = await launch();
    await of.email('two');
    await of.arrived(3);
    held[2]?.();
    expect(of.told).toEqual(['ADDED one', 'ADDED one', 'ADDED two']);
    expect(new Set(idsOf(of)).size).toBe(2);
  });
});

describe('a trigger that was away for longer than the server remembers', () => {
  it('tells every object that changed once, as ADDED or MODIFIED, and says that deletions may be missing', async () => {
    const of = stage.case();
    const old = await configMap(of, 'old');
    await configMap(of, 'untouched');
    await configMap(of, 'gone');
    await of.create({ ...CONFIG_MAP, sendInitialEvents: false });
    await of.hasBegun();
    await touch(of, 'gone');
    await of.status(({ counters }) => counters?.delivered === 1);
    expect(await program.stop()).toBe(0);

    await stage.client.delete(CONFIG_MAPS, `${of.name}-gone`, 'default');
    await touch(of, 'old');
    const createdAt = ({ metadata }: KubeObject): number => Date.parse(metadata.creationTimestamp ?? '');
    // Creation times are whole seconds, and the objects have to differ in them.
    await eventually(
      () => Promise.resolve(Date.now()),
      (now) => now >= createdAt(old) + 3000,
    );
    const added = await configMap(of, 'new');
    // The cursor is of a time between the two, with the minute of slack that clocks are given.
    const { cursor } = await of.status((status) => status.cursor !== undefined);
    const time = new Date(createdAt(old) + 62_000).toISOString().replace('.000Z', 'Z');
    await of.patchStatus({ cursor: { ...cursor, time } });
    expect(createdAt(added) - createdAt(old)).toBeGreaterThanOrEqual(2000);
    const env = readEnv();
    const { etcdctl } = await new Binaries({ env, progress: silent }).find(['etcdctl']);
    const { metadata } = await stage.client.list(CONFIG_MAPS, { limit: 1 });
    const compaction = ['--endpoints', stage.cluster.storeUrl, 'compaction', metadata.resourceVersion ?? ''];
    expect(await answerOf(etcdctl.path, compaction, { env })).toMatchObject({ code: 0 });

    program = await launch();
    await of.arrived(3);
    await touch(of, 'untouched');
    const requests = await of.arrived(4);
    expect(of.told).toEqual(['MODIFIED gone', 'MODIFIED old', 'ADDED new', 'MODIFIED untouched']);
    expect(requests.map((request) => header(request, 'ce-gap'))).toEqual([undefined, 'true', 'true', undefined]);
    expect(await of.condition('GapDetected', 'True', 'ChangesMissed')).toContain(`from resourceVersion ${cursor?.resourceVersion} `);
    expect(await of.event('GapDetected')).toContain('deletions in between are unknown');
    const metrics = await (await fetch(metricsUrl)).text();
    expect(metrics).toMatch(new RegExp(`^harikube_trigger_resume_gap_total\\{.*name="${of.name}".*\\} 1$`, 'm'));
    await of.condition('Ready', 'True', 'Ready');
    await of.change({ concurrency: 2 });
    await of.status(({ conditions = [] }) => conditions.every(({ type }) => type !== 'GapDetected'));
  });
});

describe('two replicas of the program', () => {
  it('deliver by one of them, and by the other one as soon as the lease is over when that is killed', async () => {
    await program.stop();
    const of = stage.case();
    await of.create({ sendInitialEvents: false });
    const leader = await launch('--leader-elect');
    await of.hasBegun();
    const other = await launch('--leader-elect');
    await eventually(
      () =>
        fetch(metricsUrl)
          .then(({ ok }) => ok)
          .catch(() => false),
      (isThere) => isThere,
    );
    for (const name of names(1, 20)) await of.email(name);
    await of.arrived(20);
    await allStored(of);
    await leader.kill();
    const lease = async (): Promise<Lease['spec']> =>
      ((await stage.client.get(LEASES, leaseNameOf('watch-trigger'), PLATFORM)) as Lease).spec;
    const lost = await lease();
    await of.email('mail-21');
    await of.arrived(21);
    const taken = await lease();
    expect(taken.holderIdentity).not.toBe(lost.holderIdentity);
    const withoutHolderMs = Date.parse(taken.acquireTime) - Date.parse(lost.renewTime);
    expect(withoutHolderMs).toBeLessThan(2000 * lost.leaseDurationSeconds);
    expect(of.told).toEqual(names(1, 21).map((name) => `ADDED ${name}`));
    expect(await other.stop()).toBe(0);
  });
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { API_VERSION, type Email, EMAILS, HTTP_TRIGGERS, type HTTPTrigger } from '@harikube/crds';
import { KubeClient } from '@harikube/kube';
import { readEnv } from '@harikube/platform';
import { watchTriggerManifests } from '@harikube/watch-trigger';
import { EventReceiver, type ReceivedRequest } from './event-receiver.js';
import { eventually } from './eventually.js';
import { Follower } from './follower.js';
import { ProgramProcess } from './program-process.js';
import { RunningCluster } from './running-cluster.js';
import { seeded } from './seeded.js';
import { until } from './until.js';

const PLATFORM = 'harikube-system';
/** TRIGGER_OBJECTS=2500 for the 10 000 events whose figures stand in docs/measurements.md. */
const OBJECTS = Number(readEnv()['TRIGGER_OBJECTS'] ?? '600');
const WRITERS = 16;
/** How long a slow machine may take for what a quick one does in seconds. */
const PATIENCE_SECONDS = 300;
/** A life ends as soon as so many requests are accepted in it, however long that takes: with others on their way. */
const ACCEPTED_IN_A_LIFE = 480;

let cluster: RunningCluster;
let client: KubeClient;
let receiver: EventReceiver;
let flags: string[];

function launch(): ProgramProcess {
  return ProgramProcess.launch({ command: 'watch-trigger', args: flags, logFile: join(cluster.folder, 'trigger.log') });
}

function emailOf(index: number): Email {
  return {
    apiVersion: API_VERSION,
    kind: 'Email',
    metadata: { name: `mail-${index}`, namespace: 'default' },
    spec: { toAddress: `user-${index}@example.com`, fromName: 'Shop', fromAddress: 'shop@example.com', subject: 'Hello', body: 'Hello' },
  };
}

/** Created, changed twice and deleted: four events. */
async function liveAndDie(index: number): Promise<void> {
  const name = `mail-${index}`;
  await client.create(EMAILS, emailOf(index));
  for (const round of ['one', 'two']) {
    await client.patch(EMAILS, name, 'default', { metadata: { labels: { round } } }, { type: 'merge' });
  }
  await client.delete(EMAILS, name, 'default');
}

function triggerOf(): object {
  return {
    apiVersion: 'triggers.harikube.info/v1',
    kind: 'HTTPTrigger',
    metadata: { name: 'all-emails', namespace: PLATFORM },
    spec: {
      resource: { apiVersion: API_VERSION, kind: 'Email' },
      concurrency: 32,
      url: { static: `${receiver.url}/events` },
      body: { template: '{{ toJson . }}' },
      delivery: { timeout: '5s', retries: 5 },
      retryPolicy: { initialDelay: '50ms', maxDelay: '1s' },
    },
  };
}

const header = ({ headers }: ReceivedRequest, name: string): string => String(headers[name]);
const idOf = (request: ReceivedRequest): string => header(request, 'ce-id');

beforeAll(async () => {
  cluster = await RunningCluster.start({ name: 'trigger-kills', store: 'router' });
  await cluster.installCrds();
  await cluster.kubectl.succeed(['create', 'namespace', PLATFORM]);
  const manifests = join(cluster.folder, 'watch-trigger.json');
  await writeFile(manifests, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: watchTriggerManifests({ namespace: PLATFORM }) }));
  await cluster.kubectl.succeed(['apply', '--server-side', '-f', manifests]);
  receiver = await EventReceiver.start();
  cluster.beforeStop(() => receiver.close());
  client = KubeClient.fromConfig({ kubeconfig: cluster.kubeconfigFile, userAgent: 'harikube-test' });
  cluster.beforeStop(() => client.close());
  flags = [
    `--kubeconfig=${await cluster.accountKubeconfig(PLATFORM, 'watch-trigger')}`,
    `--namespace=${PLATFORM}`,
    '--health-probe-bind-address=0',
    '--allowed-targets=127.0.0.0/8',
  ];
}, 900_000);

afterAll(() => cluster.stop());

describe('a trigger whose program is killed again and again', () => {
  it('delivers every event, those of an object in order, and a repeat under the id of the first', async () => {
    const random = seeded(20261126);
    const accepted: ReceivedRequest[] = [];
    receiver.respond = (request, response) => {
      // One of twenty fails, in one way or another.
      const draw = random();
      if (draw < 0.02) response.writeHead(503, { 'retry-after': '0' }).end();
      else if (draw < 0.04) response.writeHead(500).end('no');
      else if (draw < 0.05) response.destroy();
      else {
        accepted.push(request);
        response.end();
      }
    };
    await client.create(HTTP_TRIGGERS, triggerOf() as HTTPTrigger);
    let program = launch();
    await until(client, HTTP_TRIGGERS, (triggers) =>
      [...triggers.values()].some(
        ({ status }) => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true,
      ),
    );
    const happened = await Follower.start(client, EMAILS, { mayEnd: true });
    const left = Array.from({ length: OBJECTS }, (_, index) => index);
    const writer = async (): Promise<void> => {
      for (let index = left.pop(); index !== undefined; index = left.pop()) await liveAndDie(index);
    };
    const written = Promise.all(Array.from({ length: WRITERS }, writer));
    written.catch(() => undefined); // awaited below
    let kills = 0;
    for (let enough = ACCEPTED_IN_A_LIFE; enough < 4 * OBJECTS; enough = accepted.length + ACCEPTED_IN_A_LIFE) {
      await receiver.until(() => accepted.length >= enough, PATIENCE_SECONDS);
      await program.kill();
      kills++;
      program = launch();
    }
    await written;
    await eventually(
      () => Promise.resolve(happened.told.length),
      (events) => events === 4 * OBJECTS,
    );
    const wanted = new Set(happened.told.map(({ uid, resourceVersion, type }) => `${uid} ${resourceVersion} ${type}`));
    const told = new Set<string>();
    let read = 0;
    /** What was accepted by now. Each request is read once: there are many, and it is looked at after each. */
    const readAccepted = (): Set<string> => {
      for (; read < accepted.length; read++) {
        const request = accepted[read] as ReceivedRequest;
        const { metadata } = JSON.parse(request.body) as Email;
        const type = header(request, 'ce-type').split('.').at(-1)?.toUpperCase();
        told.add(`${metadata.uid} ${header(request, 'ce-resourceversion')} ${type}`);
      }
      return told;
    };
    await receiver.until(() => readAccepted().size >= wanted.size, PATIENCE_SECONDS);
    await happened.close();
    expect(await program.stop()).toBe(0);

    // The set delivered is the set that happened.
    expect(readAccepted()).toEqual(wanted);
    // An id says which event it is, and there is one for each.
    const eventOf = new Map<string, string>();
    for (const request of receiver.requests) {
      const event = ['ce-subject', 'ce-resourceversion', 'ce-type'].map((name) => header(request, name)).join(' ');
      expect(eventOf.get(idOf(request)) ?? event).toBe(event);
      eventOf.set(idOf(request), event);
    }
    expect(eventOf.size).toBe(wanted.size);
    // The first time that an event was accepted comes after that of the event before it.
    const last = new Map<string, bigint>();
    const seen = new Set<string>();
    for (const request of accepted) {
      if (seen.has(idOf(request))) continue;
      seen.add(idOf(request));
      const subject = header(request, 'ce-subject');
      const revision = BigInt(header(request, 'ce-resourceversion'));
      expect(revision > (last.get(subject) ?? 0n)).toBe(true);
      last.set(subject, revision);
    }
    expect(kills).toBeGreaterThan(2);
    // Events were repeated: the program was killed with some on their way.
    expect(accepted.length).toBeGreaterThan(wanted.size);
  }, 1_200_000);
});

import { join } from 'node:path';
import { HTTP_TRIGGERS, type HTTPTrigger, TRIGGERS_GROUP, VERSION } from '@harikube/crds';
import { CLUSTER_ROLES, CONFIG_MAPS, KubeClient, type KubeObject } from '@harikube/kube';
import { freePort } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { EventReceiver } from '../e2e/event-receiver.js';
import { eventually } from '../e2e/eventually.js';
import { UpProcess } from '../e2e/up-process.js';
import { atOnce, quantile } from './load.js';
import { table } from './table.js';

const CALLERS = 16;
const NAMESPACE = 'default';
const WARM_UP = 500;

interface Round {
  readonly name: string;
  readonly created: number;
  /** Objects created per second. */
  readonly createdPerSecond: number;
  /** Events accepted per second, from the first creation to the last acceptance. */
  readonly deliveredPerSecond: number;
  /** Milliseconds from the answer to a creation to the acceptance of its event. */
  readonly lags: readonly number[];
  readonly attempts: number;
}

export interface EventsBench {
  readonly rounds: readonly Round[];
}

/** Creates ConfigMaps on a `harikube up` of its own while a trigger sends each to a server in this process. */
export async function measureEvents(
  objects: number,
  { folder, env, note }: { folder: string; env: Env; note: (text: string) => void },
): Promise<EventsBench> {
  const data = join(folder, 'events');
  note('starting harikube up');
  const up = await UpProcess.start(data, await freePort(), { ...env, NODE_OPTIONS: '' }, '--separate');
  const client = KubeClient.fromConfig({ kubeconfig: join(data, 'kubeconfig'), userAgent: 'harikube-bench', deadlineMs: 60_000 });
  const receiver = await EventReceiver.start();
  try {
    await client.create(CLUSTER_ROLES, SOURCE);
    await client.create(HTTP_TRIGGERS, triggerOf(receiver.url));
    await eventually(
      () => client.get(HTTP_TRIGGERS, TRIGGER, NAMESPACE),
      ({ status }) => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true,
      60,
    );
    note('warming up');
    await measureRound('warm', WARM_UP, { client, receiver, failing: 0 });
    note(`${objects} events`);
    const plain = await measureRound('every request accepted', objects, { client, receiver, failing: 0 });
    note(`${objects} events, 5 % of the requests refused with 503`);
    const failing = await measureRound('5 % answered with 503', objects, { client, receiver, failing: 20 });
    return { rounds: [plain, failing] };
  } finally {
    await receiver.close();
    await client.close();
    await up.stop();
  }
}

/** `failing`: one request of so many is answered with 503; 0: none. */
async function measureRound(
  name: string,
  objects: number,
  { client, receiver, failing }: { client: KubeClient; receiver: EventReceiver; failing: number },
): Promise<Round> {
  const prefix = `${failing === 0 ? 'plain' : 'failing'}-${objects}`;
  const createdAt = new Map<string, number>();
  const acceptedAt = new Map<string, number>();
  let attempts = 0;
  receiver.respond = (request, response) => {
    attempts++;
    if (failing > 0 && attempts % failing === 0) {
      response.writeHead(503).end();
      return;
    }
    acceptedAt.set(String(request.headers['ce-name']), request.at);
    response.end();
  };
  const began = performance.now();
  await atOnce(CALLERS, objects, async (index) => {
    const object = { ...CONFIG_MAP, metadata: { name: `${prefix}-${index}`, namespace: NAMESPACE } };
    await client.create(CONFIG_MAPS, object);
    createdAt.set(object.metadata.name, performance.now());
  });
  const writtenMs = performance.now() - began;
  await receiver.until(() => acceptedAt.size >= objects, 300);
  receiver.requests.length = 0;
  const lags = [...createdAt].map(([key, at]) => (acceptedAt.get(key) ?? Number.NaN) - at);
  const lastAt = [...acceptedAt.values()].reduce((last, at) => Math.max(last, at), began);
  return {
    name,
    created: objects,
    createdPerSecond: (1000 * objects) / writtenMs,
    deliveredPerSecond: (1000 * objects) / (lastAt - began),
    lags,
    attempts,
  };
}

const TRIGGER = 'bench';
const CONFIG_MAP = { apiVersion: 'v1', kind: 'ConfigMap', data: { text: 'x'.repeat(1000) } };
const SOURCE: KubeObject & { rules: object[] } = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'bench-watches-configmaps', labels: { [`${TRIGGERS_GROUP}/aggregate-to-watch-trigger`]: 'true' } },
  rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] }],
};

function triggerOf(url: string): HTTPTrigger {
  // What is absent has a default.
  const spec: object = {
    resource: { apiVersion: 'v1', kind: 'ConfigMap' },
    namespaces: [NAMESPACE],
    eventTypes: ['ADDED'],
    concurrency: 32,
    url: { static: `${url}/events` },
    body: { template: '{{ toJson . }}' },
    delivery: { timeout: '10s', retries: 5 },
    retryPolicy: { initialDelay: '50ms' },
  };
  return {
    apiVersion: `${TRIGGERS_GROUP}/${VERSION}`,
    kind: 'HTTPTrigger',
    metadata: { name: TRIGGER, namespace: NAMESPACE },
    spec: spec as HTTPTrigger['spec'],
  };
}

export function eventsTable({ rounds }: EventsBench): string {
  return table(
    ['', 'events', 'requests', 'created/s', 'delivered/s', 'lag p50 / p95 / p99 / longest ms'],
    rounds.map(({ name, created, attempts, createdPerSecond, deliveredPerSecond, lags }) => [
      name,
      `${created}`,
      `${attempts}`,
      createdPerSecond.toFixed(0),
      deliveredPerSecond.toFixed(0),
      [0.5, 0.95, 0.99, 1].map((share) => quantile(lags, share).toFixed(0)).join(' / '),
    ]),
  );
}

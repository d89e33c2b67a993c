import { isDeepStrictEqual } from 'node:util';
import { TOPOLOGY_CONFIGS, type TopologyBackend, type TopologyConfig } from '@harikube/crds';
import { ifFound, type StatusCause, StatusError } from '@harikube/kube';
import { SetupError } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { readConfigs } from './check-topology.js';
import { type Cluster, type ClusterFlags, inCluster, refusalText } from './cluster-access.js';
import { type ConfigObject, isRecord, metadataOf, problemText } from './config-object.js';
import { answer, columns, EXIT, type Output } from './output.js';
import { readTopologyInput } from './topology-input.js';

interface BackendChange {
  readonly kind: 'add' | 'remove' | 'change' | 'reorder';
  readonly backend: string;
  /** The fields that differ. */
  readonly fields: readonly string[];
}

interface PlannedConfig {
  readonly namespace: string;
  readonly name: string;
  readonly result: 'created' | 'changed' | 'unchanged' | 'refused';
  readonly changes: readonly BackendChange[];
  /** What differs beside the backends, such as `metadata.annotations[harikube.info/deployOrder]`. */
  readonly fields: readonly string[];
  readonly warnings: readonly string[];
  /** Why it is refused; empty: it is not. */
  readonly message: string;
  readonly causes: readonly StatusCause[];
}

const FIELD_MANAGER = 'kubectl-harikube';
/** Where `kubectl apply` keeps what it has applied. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** How the webhook begins and ends what it says of keys that rules would hide. */
const HIDDEN_KEYS = /^(?:Invalid value: )?\d+ keys? .*would not be found any more/s;

/** Lets the API server, and whoever judges for it, say what would come of TopologyConfigs; nothing is changed. Resolves to an exit code. */
export async function clusterPlan(files: readonly string[], flags: ClusterFlags, env: Env, output: Output): Promise<number> {
  const inputs = await Promise.all(files.map(readTopologyInput));
  const documents = inputs.flatMap(({ documents: own, pathOf }) => own.map(({ name, text }) => ({ name: pathOf(name), text })));
  const { configs, others, topologies, problems } = readConfigs({ name: files.join(', '), documents, pathOf: (name) => name });
  if (configs.length === 0 && problems.length === 0)
    throw new SetupError(`${files.join(', ')} holds no TopologyConfig: a topology for a router is judged by "harikube topology plan"`);
  if (others.length > 0) output.note(`not looked at: ${others.join(', ')}`);
  if (problems.length > 0) {
    if (output.format === 'text') for (const problem of problems) output.note(problemText(problem));
    else answer(output, { objects: [], problems }, []);
    return EXIT.wrong;
  }
  const ordered = topologies.flatMap((topology) => topology.configs);
  const objects = await inCluster(flags, env, async (cluster) => {
    const planned: PlannedConfig[] = [];
    for (const config of ordered) planned.push(await planOne(config, flags, cluster));
    return planned;
  });
  answer(output, { objects, problems }, objects.flatMap(plannedLines));
  if (objects.every(({ message }) => message === '')) return EXIT.fine;
  return objects.every(({ message, causes }) => message === '' || isHeld(causes)) ? EXIT.held : EXIT.wrong;
}

async function planOne(config: ConfigObject, flags: ClusterFlags, { client, takeWarnings }: Cluster): Promise<PlannedConfig> {
  const { name, namespace: own } = metadataOf(config);
  if (own !== '' && flags.namespace !== undefined && own !== flags.namespace)
    throw new SetupError(`${name} names the namespace "${own}" and --namespace "${flags.namespace}": leave one of them out`);
  const namespace = own || (flags.namespace ?? client.namespace);
  const live = await ifFound(client.get(TOPOLOGY_CONFIGS, name, namespace));
  takeWarnings();
  const known = { namespace, name };
  try {
    const options = { fieldManager: FIELD_MANAGER, fieldValidation: 'Strict', dryRun: true } as const;
    const planned =
      live === null
        ? await client.create(TOPOLOGY_CONFIGS, applicable(config, known), options)
        : await client.patch(TOPOLOGY_CONFIGS, name, namespace, patchOf(config, live), { ...options, type: 'merge' });
    const changes = backendChanges(live?.spec.backends ?? [], planned.spec.backends);
    const fields = live === null ? [] : otherDifferences(live, planned);
    const result = live === null ? 'created' : changes.length + fields.length === 0 ? 'unchanged' : 'changed';
    return { ...known, result, changes, fields, warnings: takeWarnings(), message: '', causes: [] };
  } catch (error) {
    if (!(error instanceof StatusError) || error.isUnauthorized || error.code >= 500) throw error;
    const causes = error.status.details?.causes ?? [];
    return { ...known, result: 'refused', changes: [], fields: [], warnings: takeWarnings(), message: refusalText(error), causes };
  }
}

/** Without what only the server writes: an object that was saved from a cluster has all of it. */
function applicable({ plain }: ConfigObject, { name, namespace }: { readonly name: string; readonly namespace: string }): TopologyConfig {
  const { labels, annotations, spec } = partsOf(plain);
  // It was judged by the schema.
  return { metadata: { name, namespace, labels, annotations }, spec } as TopologyConfig;
}

/** What `kubectl apply` sends for an object that is there: what it has applied last, and is not said any more, is taken away. */
function patchOf(config: ConfigObject, live: TopologyConfig): object {
  const last = lastApplied(live);
  const { labels, annotations, spec } = partsOf(config.plain);
  return {
    metadata: {
      labels: { ...taken(last.labels, labels), ...labels },
      annotations: { ...taken(last.annotations, annotations), ...annotations },
    },
    spec: { ...taken(last.spec, spec), ...spec },
  };
}

function taken(last: object, next: object): Record<string, null> {
  return Object.fromEntries(Object.keys(last).flatMap((key) => (key in next ? [] : [[key, null]])));
}

function lastApplied({ metadata: { annotations = {} } }: TopologyConfig): ReturnType<typeof partsOf> {
  try {
    const value: unknown = JSON.parse(annotations[LAST_APPLIED] ?? '{}');
    return partsOf(isRecord(value) ? value : {});
  } catch (error) {
    if (error instanceof SyntaxError) return partsOf({});
    throw error;
  }
}

function partsOf(plain: Readonly<Record<string, unknown>>): {
  readonly labels: object;
  readonly annotations: object;
  readonly spec: object;
} {
  const { labels, annotations } = isRecord(plain['metadata']) ? plain['metadata'] : {};
  const { [LAST_APPLIED]: _kubectlsOwn, ...rest } = isRecord(annotations) ? annotations : {};
  return { labels: isRecord(labels) ? labels : {}, annotations: rest, spec: isRecord(plain['spec']) ? plain['spec'] : {} };
}

function otherDifferences(live: TopologyConfig, planned: TopologyConfig): string[] {
  const { labels, annotations } = live.metadata;
  const { backends: _before, ...spec } = live.spec;
  const { backends: _after, ...plannedSpec } = planned.spec;
  return [
    ...differences(labels ?? {}, planned.metadata.labels ?? {}).map((key) => `metadata.labels[${key}]`),
    ...differences(annotations ?? {}, planned.metadata.annotations ?? {}).map((key) => `metadata.annotations[${key}]`),
    ...differences(spec, plannedSpec).map((field) => `spec.${field}`),
  ];
}

function backendChanges(before: readonly TopologyBackend[], after: readonly TopologyBackend[]): BackendChange[] {
  const old = new Map(before.map((backend) => [backend.name, backend]));
  const next = new Map(after.map((backend) => [backend.name, backend]));
  const changed = after.flatMap((backend): BackendChange[] => {
    const known = old.get(backend.name);
    if (known === undefined) return [{ kind: 'add', backend: backend.name, fields: [] }];
    const fields = differences(known, backend);
    return fields.length === 0 ? [] : [{ kind: 'change', backend: backend.name, fields }];
  });
  const removed = before.flatMap(({ name }): BackendChange[] => (next.has(name) ? [] : [{ kind: 'remove', backend: name, fields: [] }]));
  const kept = (from: readonly TopologyBackend[]): string[] =>
    from.map(({ name }) => name).filter((name) => old.has(name) && next.has(name));
  const [orderBefore, orderAfter] = [kept(before), kept(after)];
  const moved = orderAfter.filter((name, index) => orderBefore[index] !== name);
  return [...removed, ...changed, ...moved.map((backend): BackendChange => ({ kind: 'reorder', backend, fields: [] }))];
}

function differences(one: object, other: object): string[] {
  const [a, b] = [Object.entries(one), Object.entries(other)].map((entries) => new Map<string, unknown>(entries));
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].filter((field) => !isDeepStrictEqual(a?.get(field), b?.get(field)));
}

/** True when keys that are where they are stand in the way, and nothing else. */
function isHeld(causes: readonly StatusCause[]): boolean {
  return causes.length > 0 && causes.every(({ message = '' }) => HIDDEN_KEYS.test(message));
}

function plannedLines({ namespace, name, result, changes, fields, warnings, message }: PlannedConfig): string[] {
  const head = result === 'refused' ? message : `would be ${result}`;
  return [
    `${namespace}/${name}: ${head}${fields.length === 0 ? '' : ` (${fields.join(', ')})`}`,
    ...columns(
      changes.map(({ kind, backend, fields }) => [kind, backend, fields.join(', ')]),
      '  ',
    ),
    ...warnings.map((warning) => `  warning: ${warning}`),
  ];
}

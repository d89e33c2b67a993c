import { TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { topologyVersion } from '@harikube/datasources';
import { type KubeObject, type PatchOptions, type Resource, SECRETS, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import {
  createLogger,
  RouterAdminError,
  type RouterTopologyDocument,
  type RouterTopologyPlan,
  type RouterTopologyState,
} from '@harikube/platform';
import type { Key, Result } from '@harikube/reconcilers';
import { Registry } from 'prom-client';
import type { Secret, TargetName } from '../merged-secret.js';
import type { NamedSecret } from '../named-secrets.js';
import { OperatorMetrics } from '../operator-metrics.js';
import { TargetReconciler } from '../target.reconciler.js';

type Stored = KubeObject & { status?: object };

const TARGET = { namespace: 'harikube', name: 'topology-config' };

/** An API server that keeps TopologyConfigs and Secrets, a router that takes up what the Secret holds when it is told to, and an operator between them. */
export class FakeWorld {
  readonly clock = new FakeClock();
  /** Of the operator that runs. */
  registry = new Registry();
  /** By backend. */
  readonly keys = new Map<string, number | null>();
  /** What was written, such as `create secrets topology-config`. */
  readonly writes: string[] = [];
  /** `reason note` */
  readonly events: string[] = [];
  readonly abandoned: { backend: string; confirm: number | null }[] = [];
  /** Thrown by the next write, or by every one of a name. */
  failNextWrite: Error | null = null;
  forbidSecretWrites = false;
  isRouterAway = false;
  /** What the operator's cache has of TopologyConfigs, while it is behind; null: all that there is. */
  cache: readonly TopologyConfig[] | null = null;
  /** What a plan says of documents. */
  planOf: (documents: readonly RouterTopologyDocument[]) => Partial<RouterTopologyPlan> = () => ({});
  plans = 0;
  hasRouter = true;
  #inForce: readonly RouterTopologyDocument[] = [];
  #error: RouterTopologyState['error'];
  readonly #stored = new Map<string, Stored>();
  #version = 0;
  #reconciler: TargetReconciler;
  #followed: readonly string[] = [];

  constructor() {
    this.#reconciler = this.#operator();
  }

  /** The operator is killed and started again. */
  restart(): void {
    this.#reconciler = this.#operator();
  }

  /** One run of the operator; its errors are its own. */
  reconcile(target: TargetName = TARGET): Promise<Result> {
    const key: Key = target;
    const logger = createLogger({ format: 'json', debug: false, destination: { write: () => undefined } });
    return this.#reconciler.reconcile(key, { signal: new AbortController().signal, logger });
  }

  /** Runs until it has nothing more to write. */
  async settle(): Promise<Result> {
    for (let runs = 0; runs < 20; runs++) {
      const before = this.writes.length;
      const result = await this.reconcile();
      if (this.writes.length === before) return result;
    }
    throw new Error(`the operator does not come to a rest: ${this.writes.slice(-5).join(', ')}`);
  }

  /** The router reads the Secret. */
  take(): void {
    this.#inForce = Object.entries(this.documents).map(([name, text]) => ({ name, text }));
    this.#error = undefined;
  }

  /** The router reads the Secret, and does not want what it holds. */
  refuse(message: string): void {
    const documents = Object.entries(this.documents).map(([name, text]) => ({ name, text }));
    this.#error = { time: '', message, version: topologyVersion(documents), moves: [] };
  }

  all(): TopologyConfig[] {
    return [...this.#stored.values()].filter(({ kind }) => kind === 'TopologyConfig') as TopologyConfig[];
  }

  config(name: string): TopologyConfig {
    const found = this.#stored.get(keyOf(TOPOLOGY_CONFIGS, name, 'ns'));
    if (found === undefined) throw new Error(`there is no TopologyConfig ${name}`);
    return found as TopologyConfig;
  }

  has(name: string): boolean {
    return this.#stored.has(keyOf(TOPOLOGY_CONFIGS, name, 'ns'));
  }

  statusOf(name: string): string {
    return String(this.config(name).status?.deployStatus);
  }

  reasonOf(name: string): string {
    return this.config(name).status?.deployStatusReason ?? '';
  }

  /** By somebody who uses the API. */
  put(name: string, backends: readonly object[] = [backend(name)], annotations: Record<string, string> = {}): void {
    const key = keyOf(TOPOLOGY_CONFIGS, name, 'ns');
    const before = this.#stored.get(key) as TopologyConfig | undefined;
    this.#keep(key, {
      ...before,
      apiVersion: 'harikube.info/v1',
      kind: 'TopologyConfig',
      metadata: {
        name,
        namespace: 'ns',
        uid: `uid-${name}-${++this.#version}`,
        creationTimestamp: `2026-01-01T00:00:00Z`,
        ...before?.metadata,
        generation: (before?.metadata.generation ?? 0) + 1,
        annotations,
      },
      spec: { targetSecret: 'harikube/topology-config', backends },
    } as TopologyConfig);
  }

  remove(name: string): void {
    const key = keyOf(TOPOLOGY_CONFIGS, name, 'ns');
    const { metadata, ...rest } = this.config(name);
    if ((metadata.finalizers ?? []).length === 0) this.#stored.delete(key);
    else this.#keep(key, { ...rest, metadata: { ...metadata, deletionTimestamp: '2026-01-02T00:00:00Z' } });
  }

  annotate(name: string, annotations: Record<string, string>): void {
    const config = this.config(name);
    this.#keep(keyOf(TOPOLOGY_CONFIGS, name, 'ns'), { ...config, metadata: { ...config.metadata, annotations } });
  }

  get secret(): Secret | undefined {
    return this.#stored.get(keyOf(SECRETS, TARGET.name, TARGET.namespace));
  }

  putSecret(secret: Secret | undefined, { namespace, name }: TargetName = TARGET): void {
    const key = keyOf(SECRETS, name, namespace);
    if (secret === undefined) this.#stored.delete(key);
    else this.#keep(key, { ...secret, metadata: { ...secret.metadata, namespace, name } });
  }

  get documents(): Record<string, string> {
    return Object.fromEntries(
      Object.entries(this.secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    );
  }

  #operator(): TargetReconciler {
    this.registry = new Registry();
    return new TargetReconciler({
      client: {
        get: (resource, name, namespace) => Promise.resolve().then(() => this.#get(resource, name, namespace)),
        create: (resource, object) => this.#write('create', resource, object),
        update: (resource, object) => this.#write('update', resource, object),
        patch: <T extends KubeObject>(
          resource: Resource<T>,
          name: string,
          namespace: string | undefined,
          patch: object,
          { subresource }: PatchOptions,
        ) => {
          const object = { ...patch, metadata: { ...(patch as KubeObject).metadata, name, namespace } };
          return this.#write(subresource === undefined ? 'patch' : `patch ${subresource}`, resource, object as unknown as T);
        },
      },
      configs: {
        byIndex: (_, target) => (this.cache ?? this.all()).filter(({ spec }) => spec.targetSecret === target),
      },
      secrets: {
        follow: (_, names) => (this.#followed = names.map(({ namespace, name }) => `${namespace}/${name}`)),
        get: (name) => this.#named(name),
      },
      targets: [TARGET],
      router: this.hasRouter ? this.#router() : null,
      events: {
        normal: (_, reason, __, note) => this.events.push(`${reason} ${note}`),
        warning: (_, reason, __, note) => this.events.push(`${reason} ${note}`),
      },
      metrics: new OperatorMetrics(this.registry),
      clock: this.clock,
    });
  }

  #named({ namespace, name }: TargetName): NamedSecret {
    if (!this.#followed.includes(`${namespace}/${name}`)) throw new Error(`the Secret ${namespace}/${name} is not followed`);
    const value = this.#stored.get(keyOf(SECRETS, name, namespace));
    return {
      value,
      isKnown: true,
      isMissing: value === undefined,
      problem: value === undefined ? `the Secret ${namespace}/${name} does not exist` : null,
    };
  }

  #router(): ConstructorParameters<typeof TargetReconciler>[0]['router'] {
    const answer = <T>(value: () => T): Promise<T> =>
      this.isRouterAway ? Promise.reject(new RouterAdminError('the router is away', null)) : Promise.resolve().then(value);
    return {
      topology: () => answer(() => this.#state()),
      plan: (documents) =>
        answer(() => {
          this.plans++;
          return { version: '', check: [], changes: [], moves: [], problems: [], ...this.planOf(documents) };
        }),
      abandon: (request) =>
        answer(() => {
          const keys = this.keys.get(request.backend) ?? 0;
          if (request.confirm !== keys) throw new RouterAdminError(`"${request.backend}" holds ${keys} keys`, 409);
          this.abandoned.push(request);
          return { backend: request.backend, keys };
        }),
    };
  }

  #state(): RouterTopologyState {
    const names = this.#inForce.flatMap(({ text }) => [...text.matchAll(/^- name: (.*)$/gm)].map(([, name = '']) => name));
    return {
      version: topologyVersion(this.#inForce),
      source: 'secret://harikube/topology-config',
      sourceVersion: null,
      inForceSince: '',
      document: '',
      ...(this.#error === undefined ? {} : { error: this.#error }),
      backends: names.map((name) => {
        const keys = this.keys.get(name);
        return { name, endpoint: '', isReady: true, problem: '', keys: keys === undefined ? 0 : keys, bytes: null };
      }),
    };
  }

  #get<T extends KubeObject>(resource: Resource<T>, name: string, namespace: string | undefined): T {
    const found = this.#stored.get(keyOf(resource, name, namespace));
    if (found === undefined) throw statusError(404, 'NotFound', `${resource.plural} "${name}" not found`);
    return found as unknown as T;
  }

  async #write<T extends KubeObject>(verb: string, resource: Resource<T>, object: T): Promise<T> {
    await Promise.resolve();
    const { name = '', namespace, resourceVersion, uid } = object.metadata;
    if (this.failNextWrite !== null) {
      const error = this.failNextWrite;
      this.failNextWrite = null;
      throw error;
    }
    if (this.forbidSecretWrites && resource.plural === 'secrets') throw statusError(403, 'Forbidden', 'secrets is forbidden');
    this.writes.push(`${verb} ${resource.plural} ${name}`);
    const key = keyOf(resource, name, namespace);
    const before = this.#stored.get(key);
    if (verb === 'create') {
      if (before !== undefined) throw statusError(409, 'AlreadyExists', `${name} already exists`);
      return this.#keep(key, { ...object, metadata: { ...object.metadata, uid: `uid-${++this.#version}` } }) as unknown as T;
    }
    if (before === undefined) throw statusError(404, 'NotFound', `${name} not found`);
    if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion)
      throw statusError(409, 'Conflict', 'it has changed');
    if (uid !== undefined && uid !== before.metadata.uid) throw statusError(409, 'Conflict', 'it is another one');
    const merged = verb === 'update' ? object : (mergePatched(before, object) as T);
    const isDone = merged.metadata.deletionTimestamp !== undefined && (merged.metadata.finalizers ?? []).length === 0;
    if (isDone) {
      this.#stored.delete(key);
      return merged;
    }
    return this.#keep(key, merged) as unknown as T;
  }

  #keep(key: string, object: Stored): Stored {
    const kept = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#stored.set(key, kept);
    return kept;
  }
}

export function backend(name: string, more: object = {}): object {
  return { name, endpoint: `sqlite:///db/${name}.db`, prefix: { prefix: `${name}.example.com` }, ...more };
}

function keyOf({ plural }: Resource<never> | Resource<KubeObject>, name: string, namespace: string | undefined): string {
  return `${plural} ${namespace}/${name}`;
}

function statusError(code: number, reason: string, message: string): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message });
}

/** RFC 7386. */
function mergePatched(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else if (value !== undefined) result[name] = mergePatched(result[name], value);
  }
  return result;
}

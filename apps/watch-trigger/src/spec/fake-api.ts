import { HTTP_TRIGGERS, type HTTPTrigger } from '@harikube/crds';
import {
  ConnectionError,
  type KubeClient,
  type KubeList,
  type KubeObject,
  type ListOptions,
  type Resource,
  type Status,
  StatusError,
  type WatchEvent,
  type WatchOptions,
} from '@harikube/kube';
import type { Clock } from '@harikube/kube';

interface Logged {
  readonly revision: bigint;
  readonly before: KubeObject | null;
  readonly after: KubeObject | null;
}

interface Stream {
  /** What ends it; undefined: it goes on. */
  end: 'ended' | 'expired' | Error | undefined;
  /** Told as soon as everything before it is. */
  bookmark: bigint | null;
  wake: () => void;
  readonly select: Select;
}

interface WriteOptions {
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly spec?: object;
}

type Select = Pick<WatchOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;

export type Asked = 'list' | 'watch' | 'get' | 'patch';

/** Whether a request fails, and by what. */
export type Refusal = (asked: Asked, resource: Resource<unknown>, select: Select) => Error | null;

/**
 * An API server that keeps one history, as etcd does: what a spec writes is seen by lists and watches, from any revision that is not compacted. Label
 * selectors are of the form `name=value`.
 */
export class FakeApi implements Pick<KubeClient, 'list' | 'watch' | 'get' | 'patch'> {
  readonly #clock: Clock;
  readonly #log: Logged[] = [];
  readonly #objects = new Map<string, KubeObject>();
  readonly #streams = new Set<Stream>();
  readonly #triggers = new Map<string, HTTPTrigger>();
  #revision = 100n;
  #compacted = 0n;
  #cachedSince = 0n;
  #uids = 0;
  /** Where each watch began. */
  readonly watched: { readonly from: string; readonly select: Select }[] = [];
  readonly listed: ListOptions[] = [];
  /** The statuses that were written, as merge patches. */
  readonly patches: { readonly name: string; readonly status: Readonly<Record<string, unknown>> }[] = [];
  refuses: Refusal = () => null;
  /** What a list says instead of its revision, as some aggregated servers do. */
  listVersion: string | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get revision(): bigint {
    return this.#revision;
  }

  /** How many watches are open. */
  get open(): number {
    return this.#streams.size;
  }

  /** Creates it, or another state of it. */
  write(name: string, { namespace = 'shop', labels, ...more }: WriteOptions = {}): KubeObject {
    const key = `${namespace}/${name}`;
    const before = this.#objects.get(key) ?? null;
    this.#revision++;
    const { uid = `uid-${++this.#uids}`, creationTimestamp = new Date(this.#clock.now()).toISOString() } = before?.metadata ?? {};
    const after: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name,
        namespace,
        uid,
        creationTimestamp,
        labels: labels ?? before?.metadata.labels,
        resourceVersion: String(this.#revision),
        managedFields: [{ manager: 'spec' }],
      },
      ...more,
    };
    this.#objects.set(key, after);
    this.#append({ revision: this.#revision, before, after });
    return after;
  }

  delete(name: string, namespace = 'shop'): void {
    const key = `${namespace}/${name}`;
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#revision++;
    this.#objects.delete(key);
    this.#append({ revision: this.#revision, before, after: null });
  }

  /** Something else is written, which no watch tells. */
  pass(revisions: number): void {
    this.#revision += BigInt(revisions);
  }

  bookmark(revision = this.#revision): void {
    for (const stream of this.#streams) {
      stream.bookmark = revision;
      stream.wake();
    }
  }

  /** What happened before now is no longer known. */
  compact(revision = this.#revision): void {
    this.#compacted = revision;
  }

  /** A restart: watches are served from what it remembers, which begins now; lists still of any time. */
  forget(): void {
    this.#cachedSince = this.#revision;
    this.#endAll('ended');
  }

  endWatches(): void {
    this.#endAll('ended');
  }

  /** As a server does whose history was compacted meanwhile. */
  expireWatches(): void {
    this.#endAll('expired');
  }

  cutWatches(error: Error = new ConnectionError('cut')): void {
    this.#endAll(error);
  }

  addTrigger(trigger: HTTPTrigger): void {
    this.#triggers.set(`${trigger.metadata.namespace}/${trigger.metadata.name}`, trigger);
  }

  trigger(name: string, namespace = 'shop'): HTTPTrigger {
    const found = this.#triggers.get(`${namespace}/${name}`);
    if (found === undefined) throw failure(404, 'NotFound');
    return structuredClone(found);
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    this.listed.push(options);
    await this.#admit('list', resource, options);
    const { limit = 500 } = options;
    const asked = options.resourceVersionMatch === 'Exact' ? BigInt(options.resourceVersion ?? '') : this.#revision;
    const [at, after] = options.continue === undefined ? [asked, ''] : tokenIn(options.continue);
    if (at < this.#compacted) {
      throw failure(410, 'Expired', { metadata: { continue: JSON.stringify([String(this.#revision), after]) } });
    }
    const all = [...this.#objectsAt(at)]
      .filter(([key, object]) => key > after && isSelected(object, options))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const page = all.slice(0, limit);
    const last = page.at(-1)?.[0] ?? '';
    // As kube-apiserver has it: not where a selector leaves out some.
    const remainingItemCount = all.length > limit && options.labelSelector === undefined ? all.length - limit : undefined;
    const token = all.length > limit ? JSON.stringify([String(at), last]) : undefined;
    return {
      metadata: { resourceVersion: this.listVersion ?? String(at), continue: token, remainingItemCount },
      items: page.map(([, object]) => structuredClone(object) as T),
    };
  }

  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { resourceVersion = '0', signal, onOpen } = options;
    this.watched.push({ from: resourceVersion, select: selectOf(options) });
    await this.#admit('watch', resource, options);
    signal?.throwIfAborted();
    const position = BigInt(resourceVersion);
    if (position < this.#compacted || position < this.#cachedSince) throw failure(410, 'Expired');
    const stream: Stream = { end: undefined, bookmark: null, wake: () => undefined, select: options };
    this.#streams.add(stream);
    const abort = (): void => stream.wake();
    signal?.addEventListener('abort', abort);
    try {
      onOpen?.();
      let place = this.#placeAfter(position);
      for (;;) {
        while (place < this.#log.length && stream.end === undefined) {
          signal?.throwIfAborted();
          const event = eventOf(this.#log[place++] as Logged, options);
          if (event !== null) yield event as WatchEvent<T>;
        }
        signal?.throwIfAborted();
        if (stream.end === 'ended') return;
        if (stream.end === 'expired') {
          yield { type: 'ERROR', object: failure(410, 'Expired').status };
          return;
        }
        if (stream.end !== undefined) throw stream.end;
        if (stream.bookmark !== null) {
          const metadata = { resourceVersion: String(stream.bookmark) };
          stream.bookmark = null;
          yield { type: 'BOOKMARK', object: { metadata } };
          continue;
        }
        if (place < this.#log.length) continue;
        await new Promise<void>((resolve) => (stream.wake = resolve));
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#streams.delete(stream);
    }
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: string, namespace = 'shop'): Promise<T> {
    await this.#admit('get', resource, { namespace });
    if (resource.plural === HTTP_TRIGGERS.plural) return this.trigger(name, namespace) as unknown as T;
    const found = this.#objects.get(`${namespace}/${name}`);
    if (found === undefined) throw failure(404, 'NotFound');
    return structuredClone(found) as T;
  }

  /** Of the status of a trigger. */
  async patch<T extends KubeObject>(resource: Resource<T>, name: string, namespace: string | undefined, patch: object): Promise<T> {
    await this.#admit('patch', resource, { namespace });
    const { metadata, status } = patch as { metadata: { uid: string }; status: Record<string, unknown> };
    const trigger = this.trigger(name, namespace);
    if (trigger.metadata.uid !== metadata.uid) throw failure(409, 'Conflict');
    this.patches.push({ name, status });
    const merged = merge(trigger.status ?? {}, status) as HTTPTrigger['status'];
    this.addTrigger({ ...trigger, status: merged });
    return this.trigger(name, namespace) as unknown as T;
  }

  #placeAfter(position: bigint): number {
    const place = this.#log.findIndex(({ revision }) => revision > position);
    return place < 0 ? this.#log.length : place;
  }

  #append(logged: Logged): void {
    this.#log.push(logged);
    for (const stream of this.#streams) stream.wake();
  }

  #endAll(end: 'ended' | 'expired' | Error): void {
    for (const stream of this.#streams) {
      stream.end = end;
      stream.wake();
    }
  }

  /** An answer is never there in the same turn. */
  async #admit(asked: Asked, resource: Resource<unknown>, select: Select): Promise<void> {
    const refusal = this.refuses(asked, resource, select);
    if (refusal !== null) throw refusal;
    await Promise.resolve();
  }

  #objectsAt(revision: bigint): Map<string, KubeObject> {
    const objects = new Map<string, KubeObject>();
    for (const { revision: at, before, after } of this.#log) {
      if (at > revision) break;
      const { namespace, name } = (after ?? before)?.metadata ?? {};
      if (after === null) objects.delete(`${namespace}/${name}`);
      else objects.set(`${namespace}/${name}`, after);
    }
    return objects;
  }
}

export function failure(code: number, reason: string, more: Partial<Status> = {}): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message: reason, ...more });
}

function eventOf({ revision, before, after }: Logged, select: Select): WatchEvent<KubeObject> | null {
  const wasSelected = before !== null && isSelected(before, select);
  const isNow = after !== null && isSelected(after, select);
  if (isNow) return { type: wasSelected ? 'MODIFIED' : 'ADDED', object: structuredClone(after) };
  if (!wasSelected) return null;
  const last = structuredClone(before);
  last.metadata.resourceVersion = String(revision);
  return { type: 'DELETED', object: last };
}

function isSelected({ metadata }: KubeObject, { namespace, labelSelector }: Select): boolean {
  if (namespace !== undefined && metadata.namespace !== namespace) return false;
  if (labelSelector === undefined) return true;
  const [name = '', value] = labelSelector.split('=');
  return metadata.labels?.[name] === value;
}

function selectOf({ namespace, labelSelector, fieldSelector }: Select): Select {
  return { namespace, labelSelector, fieldSelector };
}

function tokenIn(text: string): [bigint, string] {
  const [revision, after] = JSON.parse(text) as [string, string];
  return [BigInt(revision), after];
}

/** As JSON merge patch has it. */
function merge(into: object, patch: object): object {
  const merged: Record<string, unknown> = { ...into };
  for (const [name, value] of Object.entries(patch)) {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    const before = merged[name];
    if (value === null) delete merged[name];
    else if (isObject) merged[name] = merge(typeof before === 'object' && before !== null ? before : {}, value as object);
    else merged[name] = value;
  }
  return merged;
}

import type { Logger } from '@harikube/platform';
import type { Clock } from './clock.js';
import type { KubeClient } from './kube-client.js';
import { type KubeObject, type Resource, resourceName } from './kube-object.js';
import { Reflector, type ReflectorMetrics } from './reflector.js';

export interface InformerOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Tells handlers so often of every object, as an update from itself to itself. Absent: never. */
  readonly resyncMs?: number;
}

/**
 * Is told of every change of the cache after it was made there, in the order of the changes of each object. What it throws is logged and stops
 * nothing. After a gap in the connection an object that changed several times is one update.
 */
export interface InformerHandler<T> {
  onAdd?(object: T): void;
  /** Of a resync, both are the same object. */
  onUpdate?(before: T, after: T): void;
  /** With the last known state. */
  onDelete?(object: T): void;
}

export interface InformerParts {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: ReflectorMetrics;
  readonly random: () => number;
}

interface Index<T> {
  readonly keysOf: (object: T) => readonly string[];
  /** By index key, then by object key. */
  readonly entries: Map<string, Map<string, T>>;
}

/**
 * A cache of the objects of one resource that follows the API. Objects are without `metadata.managedFields`, are shared by all who read them, and
 * are never to be changed.
 */
export class Informer<T extends KubeObject> {
  readonly resource: Resource<T>;
  readonly #options: InformerOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #reflector: Reflector<T>;
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #handlers = new Set<{ readonly handler: InformerHandler<T> }>();
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;

  /** Use `InformerFactory`, which shares one informer among all who ask for the same. */
  constructor(resource: Resource<T>, options: InformerOptions, { client, clock, logger, metrics, random }: InformerParts) {
    this.resource = resource;
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger.child({ resource: resourceName(resource) });
    const { namespace, labelSelector, fieldSelector } = options;
    const sink = {
      replace: (objects: readonly T[]): void => this.#replace(objects),
      set: (object: T): void => this.#set(object),
      remove: (object: T): void => this.#remove(object),
    };
    const select = { namespace, labelSelector, fieldSelector };
    this.#reflector = new Reflector({ client, resource, select, sink, clock, logger: this.#logger, metrics, random });
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(keyOf(name, namespace));
  }

  /** In no order. */
  list(namespace?: string): T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** Before or after the start. An index of this name that is there already is replaced. */
  addIndex(name: string, keysOf: (object: T) => readonly string[]): void {
    const index: Index<T> = { keysOf, entries: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) this.#enter(index, key, object);
  }

  byIndex(name: string, key: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`the informer of ${resourceName(this.resource)} has no index "${name}"`);
    return [...(index.entries.get(key)?.values() ?? [])];
  }

  /** Tells the handler at once of everything that is there, and then of changes; the function that it returns ends that. */
  addHandler(handler: InformerHandler<T>): () => void {
    const entry = { handler };
    this.#handlers.add(entry);
    for (const object of [...this.#objects.values()]) this.#tell(entry, (told) => told.onAdd?.(object));
    return () => this.#handlers.delete(entry);
  }

  /** True from the moment when everything that was there at the start is in the cache, for ever. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Resolves when `isSynced`. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Why it does not follow the API at this moment; null: it does. */
  get trouble(): Error | null {
    return this.#reflector.trouble;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Follows the API until the signal aborts. Once. */
  async run(signal: AbortSignal): Promise<void> {
    const { resyncMs } = this.#options;
    const stopResync = resyncMs === undefined ? null : this.#resyncEvery(resyncMs);
    try {
      await this.#reflector.run(signal);
    } finally {
      stopResync?.();
    }
  }

  #resyncEvery(milliseconds: number): () => void {
    const resync = (): void => {
      cancel = this.#clock.setTimeout(resync, milliseconds);
      for (const object of [...this.#objects.values()]) this.#tellAll((handler) => handler.onUpdate?.(object, object));
    };
    let cancel = this.#clock.setTimeout(resync, milliseconds);
    return () => cancel();
  }

  /** What differs is told; an object that is gone goes first, so that what replaces it meets no trace of it. */
  #replace(objects: readonly T[]): void {
    const keys = new Set(objects.map(keyOfObject));
    for (const [key, object] of [...this.#objects]) if (!keys.has(key)) this.#remove(object);
    for (const object of objects) this.#set(object);
    if (this.#isSynced) return;
    this.#isSynced = true;
    this.#synced.resolve();
  }

  #set(object: T): void {
    const key = keyOfObject(object);
    const before = this.#objects.get(key);
    if (before === undefined) {
      this.#put(key, object);
      this.#tellAll((handler) => handler.onAdd?.(object));
    } else if (before.metadata.uid !== object.metadata.uid) {
      // Its deletion was missed.
      this.#remove(before);
      this.#set(object);
    } else if (before.metadata.resourceVersion !== object.metadata.resourceVersion) {
      this.#put(key, object);
      this.#tellAll((handler) => handler.onUpdate?.(before, object));
    }
  }

  #remove(object: T): void {
    const key = keyOfObject(object);
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) this.#leave(index, key, before);
    this.#tellAll((handler) => handler.onDelete?.(object));
  }

  #put(key: string, object: T): void {
    const before = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) {
      if (before !== undefined) this.#leave(index, key, before);
      this.#enter(index, key, object);
    }
  }

  #enter(index: Index<T>, key: string, object: T): void {
    for (const indexKey of this.#indexKeys(index, object)) {
      const entries = index.entries.get(indexKey) ?? new Map<string, T>();
      index.entries.set(indexKey, entries.set(key, object));
    }
  }

  #leave(index: Index<T>, key: string, object: T): void {
    for (const indexKey of this.#indexKeys(index, object)) {
      const entries = index.entries.get(indexKey);
      entries?.delete(key);
      if (entries?.size === 0) index.entries.delete(indexKey);
    }
  }

  #indexKeys({ keysOf }: Index<T>, object: T): readonly string[] {
    try {
      return keysOf(object);
    } catch (error) {
      this.#logger.error('an index function failed; the object is not in that index', { key: keyOfObject(object), err: error });
      return [];
    }
  }

  #tellAll(tell: (handler: InformerHandler<T>) => void): void {
    // Without those that are added meanwhile: they are told of the whole cache.
    for (const entry of [...this.#handlers]) this.#tell(entry, tell);
  }

  #tell(entry: { readonly handler: InformerHandler<T> }, tell: (handler: InformerHandler<T>) => void): void {
    if (!this.#handlers.has(entry)) return;
    try {
      tell(entry.handler);
    } catch (error) {
      this.#logger.error('a handler of an informer failed', { err: error });
    }
  }
}

function keyOf(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function keyOfObject({ metadata }: KubeObject): string {
  return keyOf(metadata.name ?? '', metadata.namespace);
}

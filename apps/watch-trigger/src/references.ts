/**
 * Single Secrets and Services, followed by their names: whoever may read one object of a namespace need not be allowed to read them all. Each is
 * watched once, whoever asks, and no longer than somebody asks.
 */
import type { Logger } from '@harikube/platform';
import {
  type Clock,
  type Informer,
  InformerFactory,
  type KubeClient,
  type KubeObject,
  type Resource,
  SECRETS,
  SERVICES,
  StatusError,
  systemClock,
} from '@harikube/kube';
import type { Service } from './service-address.js';

export interface Secret extends KubeObject {
  /** Values in base64. */
  data?: Record<string, string>;
}

/** Bind it in a namespace whose triggers name Secrets. */
export const SECRETS_ROLE = 'harikube-watch-trigger-secrets';

/** One who asks for an object. */
export interface Reference<T> {
  /** As it is at this moment. Undefined: see `problem`. */
  readonly value: T | undefined;
  /** Why there is no value, in a sentence; null: there is one, or it is not known yet. */
  readonly problem: string | null;
  /** Resolves when it is known whether there is a value. */
  readonly known: Promise<void>;
  /** Ends the interest. */
  close(): void;
}

export interface ReferenceName {
  readonly name: string;
  readonly namespace: string;
}

export interface ReferencesOptions {
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** A cache that cannot be filled says so nowhere but in a property. */
const TROUBLE_POLL_MS = 500;

export class References {
  readonly #client: KubeClient;
  readonly #options: ReferencesOptions;
  readonly #followed = new Map<string, Followed<KubeObject>>();

  constructor(client: KubeClient, options: ReferencesOptions = {}) {
    this.#client = client;
    this.#options = options;
  }

  /** `onChange` is called after each change of the value or the problem. */
  secret(name: ReferenceName, onChange: () => void): Reference<Secret> {
    return this.#follow(SECRETS, name, onChange);
  }

  service(name: ReferenceName, onChange: () => void): Reference<Service> {
    return this.#follow(SERVICES, name, onChange);
  }

  /** How many objects are watched. */
  get size(): number {
    return this.#followed.size;
  }

  /** Ends all watches, whoever still asks. */
  async close(): Promise<void> {
    const all = [...this.#followed.values()];
    this.#followed.clear();
    await Promise.all(all.map((one) => one.end()));
  }

  #follow<T extends KubeObject>(resource: Resource<T>, name: ReferenceName, onChange: () => void): Reference<T> {
    const key = JSON.stringify([resource.plural, name.namespace, name.name]);
    const known = this.#followed.get(key);
    // The key holds the resource, and a resource has one type.
    const followed = known === undefined ? new Followed(this.#client, resource, name, this.#options) : (known as unknown as Followed<T>);
    if (known === undefined) this.#followed.set(key, followed as unknown as Followed<KubeObject>);
    const listener = { onChange };
    followed.listeners.add(listener);
    return {
      get value() {
        return followed.value;
      },
      get problem() {
        return followed.problem;
      },
      known: followed.known,
      close: () => {
        followed.listeners.delete(listener);
        if (followed.listeners.size > 0 || this.#followed.get(key) !== (followed as unknown)) return;
        this.#followed.delete(key);
        void followed.end();
      },
    };
  }
}

class Followed<T extends KubeObject> {
  readonly listeners = new Set<{ readonly onChange: () => void }>();
  readonly known: Promise<void>;
  readonly #name: ReferenceName;
  readonly #informer: Informer<T>;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #run: Promise<void>;
  #isKnown = false;
  readonly #becomesKnown = Promise.withResolvers<void>();
  #toldTrouble: string | null = null;

  constructor(client: KubeClient, resource: Resource<T>, name: ReferenceName, { clock = systemClock, logger }: ReferencesOptions) {
    this.#name = name;
    this.#clock = clock;
    this.known = this.#becomesKnown.promise;
    const factory = new InformerFactory(client, { clock, logger: logger?.child({ ...name }) });
    this.#informer = factory.informer(resource, { namespace: name.namespace, fieldSelector: `metadata.name=${name.name}` });
    const tell = (): void => this.#tell();
    this.#informer.addHandler({ onAdd: tell, onUpdate: tell, onDelete: tell });
    void this.#informer.synced.then(tell);
    this.#run = factory.run(this.#stop.signal);
    this.#pollTrouble();
  }

  get value(): T | undefined {
    return this.#informer.get(this.#name.name, this.#name.namespace);
  }

  get problem(): string | null {
    if (this.value !== undefined) return null;
    const { resource, isSynced, trouble } = this.#informer;
    const { name, namespace } = this.#name;
    const what = `${resource.kind} ${namespace}/${name}`;
    if (isSynced) return `the ${what} does not exist`;
    if (trouble === null) return null;
    const isForbidden = trouble instanceof StatusError && trouble.isForbidden;
    const remedy =
      isForbidden && resource.plural === SECRETS.plural ? `; bind the ClusterRole ${SECRETS_ROLE} in the namespace ${namespace}` : '';
    return `the ${what} cannot be read: ${trouble.message}${remedy}`;
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#run;
  }

  #tell(): void {
    if (this.#stop.signal.aborted) return;
    this.#isKnown ||= this.#informer.isSynced || this.problem !== null;
    if (this.#isKnown) this.#becomesKnown.resolve();
    for (const { onChange } of [...this.listeners]) onChange();
  }

  #pollTrouble(): void {
    const { isSynced, trouble } = this.#informer;
    if (isSynced || this.#stop.signal.aborted) return;
    const message = trouble?.message ?? null;
    if (message !== this.#toldTrouble) {
      this.#toldTrouble = message;
      this.#tell();
    }
    const cancel = this.#clock.setTimeout(() => {
      this.#stop.signal.removeEventListener('abort', cancel);
      this.#pollTrouble();
    }, TROUBLE_POLL_MS);
    this.#stop.signal.addEventListener('abort', cancel, { once: true });
  }
}

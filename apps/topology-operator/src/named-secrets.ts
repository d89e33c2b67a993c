import {
  type Clock,
  type Informer,
  InformerFactory,
  type InformerHandler,
  type KubeClient,
  type KubeObject,
  SECRETS,
  StatusError,
} from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { Secret, TargetName } from './merged-secret.js';

/** A Secret as it is at this moment. */
export interface NamedSecret {
  readonly value: Secret | undefined;
  /** Whether it is known that there is, or is not, a value; or why that cannot be known. */
  readonly isKnown: boolean;
  /** It is known that there is none. */
  readonly isMissing: boolean;
  /** Why there is no value, in a sentence; null: there is one, or it is not known yet. */
  readonly problem: string | null;
}

export interface NamedSecretsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Single Secrets, each followed by its name and as long as a target needs it: no right to read the others is asked for. As a source it calls for work on
 * the targets that need what has changed.
 */
export class NamedSecrets {
  readonly #options: NamedSecretsOptions;
  readonly #followed = new Map<string, FollowedSecret>();
  /** By `namespace/name` of the target. */
  readonly #needs = new Map<string, { readonly target: TargetName; readonly keys: ReadonlySet<string> }>();
  readonly #handlers = new Set<InformerHandler<KubeObject>>();

  constructor(options: NamedSecretsOptions) {
    this.#options = options;
  }

  addHandler(handler: InformerHandler<KubeObject>): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** What a target needs from now on; nothing: it is forgotten. */
  follow(target: TargetName, names: readonly TargetName[]): void {
    const keys = new Set(names.map(keyOf));
    if (keys.size === 0) this.#needs.delete(keyOf(target));
    else this.#needs.set(keyOf(target), { target, keys });
    for (const name of names) {
      const key = keyOf(name);
      if (!this.#followed.has(key)) this.#followed.set(key, new FollowedSecret(name, this.#options, () => this.#tell(key)));
    }
    for (const [key, followed] of [...this.#followed]) {
      if ([...this.#needs.values()].some((need) => need.keys.has(key))) continue;
      this.#followed.delete(key);
      void followed.end();
    }
  }

  /** Of one that is followed. */
  get(name: TargetName): NamedSecret {
    return this.#followed.get(keyOf(name)) ?? { value: undefined, isKnown: false, isMissing: false, problem: null };
  }

  /** How many are followed. */
  get size(): number {
    return this.#followed.size;
  }

  async close(): Promise<void> {
    const all = [...this.#followed.values()];
    this.#followed.clear();
    await Promise.all(all.map((followed) => followed.end()));
  }

  #tell(key: string): void {
    for (const { target, keys } of this.#needs.values()) {
      if (!keys.has(key)) continue;
      for (const handler of this.#handlers) handler.onAdd?.({ metadata: { namespace: target.namespace, name: target.name } });
    }
  }
}

class FollowedSecret implements NamedSecret {
  readonly #name: TargetName;
  readonly #informer: Informer<Secret>;
  readonly #stop = new AbortController();
  readonly #run: Promise<void>;

  constructor(name: TargetName, { client, clock, logger }: NamedSecretsOptions, tell: () => void) {
    this.#name = name;
    const factory = new InformerFactory(client, { clock, logger: logger.child({ ...name }) });
    this.#informer = factory.informer<Secret>(SECRETS, { namespace: name.namespace, fieldSelector: `metadata.name=${name.name}` });
    this.#informer.addHandler({ onAdd: tell, onUpdate: tell, onDelete: tell });
    void this.#informer.synced.then(tell);
    this.#run = factory.run(this.#stop.signal);
  }

  get value(): Secret | undefined {
    return this.#informer.get(this.#name.name, this.#name.namespace);
  }

  get isKnown(): boolean {
    return this.#informer.isSynced || this.#informer.trouble !== null;
  }

  get isMissing(): boolean {
    return this.#informer.isSynced && this.value === undefined;
  }

  get problem(): string | null {
    if (this.value !== undefined) return null;
    const { trouble } = this.#informer;
    const { namespace, name } = this.#name;
    if (this.isMissing) return `the Secret ${namespace}/${name} does not exist`;
    if (trouble === null) return null;
    const remedy =
      trouble instanceof StatusError && trouble.isForbidden
        ? '; give the account of the operator a Role there that allows get, list and watch of this name'
        : '';
    return `the Secret ${namespace}/${name} cannot be read: ${trouble.message}${remedy}`;
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#run;
  }
}

function keyOf({ namespace, name }: TargetName): string {
  return `${namespace}/${name}`;
}

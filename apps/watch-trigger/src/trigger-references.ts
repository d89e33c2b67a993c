import type { HTTPTrigger, SecretKeyReference } from '@harikube/crds';
import type { Reference, References, Secret } from './references.js';
import { type Service, serviceOrigin, type ServiceTarget } from './service-address.js';
import { UnsendableError } from './unsendable-error.js';

export type ReferenceSource = Pick<References, 'secret' | 'service'>;

/** The Secrets and the Service that one trigger names, as they are at this moment. */
export class TriggerReferences {
  readonly #namespace: string;
  readonly #secrets = new Map<string, Reference<Secret>>();
  readonly #target: ServiceTarget | null;
  readonly #service: Reference<Service> | null;
  readonly #keys: readonly SecretKeyReference[];

  constructor({ metadata, spec }: HTTPTrigger, source: ReferenceSource, onChange: () => void) {
    this.#namespace = metadata.namespace ?? '';
    this.#keys = secretKeysOf(spec);
    for (const name of new Set(this.#keys.map((key) => key.name))) {
      this.#secrets.set(name, source.secret({ name, namespace: this.#namespace }, onChange));
    }
    const { service } = spec.url;
    this.#target = service === undefined ? null : { ...service, namespace: service.namespace ?? this.#namespace };
    this.#service = this.#target === null ? null : source.service(this.#target, onChange);
  }

  /** Resolves when it is known of each whether it is there. */
  get known(): Promise<unknown> {
    return Promise.all([...this.#all()].map(({ known }) => known));
  }

  /** Throws `UnsendableError` SecretNotReady. */
  secret({ name, key }: SecretKeyReference): Buffer {
    const reference = this.#secrets.get(name);
    if (reference?.value === undefined)
      throw notReady('Secret', reference?.problem ?? `the Secret ${this.#namespace}/${name} is not read yet`);
    const data = reference.value.data ?? {};
    const value = Object.hasOwn(data, key) ? data[key] : undefined;
    if (value === undefined) throw notReady('Secret', `the Secret ${this.#namespace}/${name} has no key "${key}"`);
    return Buffer.from(value, 'base64');
  }

  /** Throws `UnsendableError` ServiceNotReady. */
  serviceOrigin(): URL {
    const value = this.#service?.value;
    if (this.#target === null || value === undefined) throw notReady('Service', this.#service?.problem ?? 'the Service is not read yet');
    const origin = serviceOrigin(this.#target, value);
    if (typeof origin === 'string') throw notReady('Service', origin);
    return origin;
  }

  /** What is missing, as far as it is known. */
  problems(): UnsendableError[] {
    const checks = this.#keys.filter(({ name }) => isKnown(this.#secrets.get(name))).map((key) => () => this.secret(key));
    const all: (() => unknown)[] = isKnown(this.#service ?? undefined) ? [...checks, () => this.serviceOrigin()] : checks;
    return all.flatMap((check) => {
      try {
        check();
        return [];
      } catch (error) {
        if (error instanceof UnsendableError) return [error];
        throw error;
      }
    });
  }

  close(): void {
    for (const reference of this.#all()) reference.close();
  }

  *#all(): Generator<Reference<unknown>> {
    yield* this.#secrets.values();
    if (this.#service !== null) yield this.#service;
  }
}

function isKnown(reference: Reference<unknown> | undefined): boolean {
  return reference !== undefined && (reference.value !== undefined || reference.problem !== null);
}

function notReady(kind: 'Secret' | 'Service', message: string): UnsendableError {
  return new UnsendableError('temporary', `${kind}NotReady`, message);
}

function secretKeysOf({ auth, headers, body }: HTTPTrigger['spec']): SecretKeyReference[] {
  const { basicAuth, bearer, tls } = auth ?? {};
  const keys = [
    basicAuth?.secretKeyRef,
    bearer?.secretKeyRef,
    tls?.caRef,
    tls?.certRef,
    tls?.keyRef,
    ...Object.values(headers?.fromSecretRef ?? {}),
    body?.signature?.keySecretRef,
    body?.signature?.previousKeySecretRef,
  ];
  return keys.filter((key) => key !== undefined);
}

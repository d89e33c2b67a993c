import type { Reference, ReferenceName, Secret } from '../references.js';
import type { Service } from '../service-address.js';
import type { ReferenceSource } from '../trigger-references.js';

type Kind = 'Secret' | 'Service';

/** Secrets and Services that a spec makes, changes and takes away. */
export class FakeReferences implements ReferenceSource {
  /** When it is known what is there. */
  known: Promise<void> = Promise.resolve();
  readonly #objects = new Map<string, Secret | Service>();
  readonly #listeners = new Map<string, Set<() => void>>();

  /** With values in plain text. */
  setSecret(name: string, values: Readonly<Record<string, string>>, namespace = 'shop'): void {
    const data = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
    this.#set(keyOf('Secret', { name, namespace }), { metadata: { name, namespace }, data });
  }

  setService(name: string, spec: Service['spec'], namespace = 'shop'): void {
    this.#set(keyOf('Service', { name, namespace }), { metadata: { name, namespace }, spec });
  }

  delete(kind: Kind, name: string, namespace = 'shop'): void {
    this.#set(keyOf(kind, { name, namespace }), null);
  }

  secret(name: ReferenceName, onChange: () => void): Reference<Secret> {
    return this.#reference('Secret', name, onChange);
  }

  service(name: ReferenceName, onChange: () => void): Reference<Service> {
    return this.#reference('Service', name, onChange);
  }

  /** What somebody asks for. */
  get asked(): string[] {
    return [...this.#listeners].filter(([, listeners]) => listeners.size > 0).map(([key]) => key);
  }

  #reference<T extends Secret | Service>(kind: Kind, name: ReferenceName, onChange: () => void): Reference<T> {
    const key = keyOf(kind, name);
    const objects = this.#objects;
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    const listener = (): void => onChange();
    listeners.add(listener);
    return {
      get value() {
        return objects.get(key) as T | undefined;
      },
      get problem() {
        return objects.has(key) ? null : `the ${key} does not exist`;
      },
      known: this.known,
      close: () => listeners.delete(listener),
    };
  }

  #set(key: string, object: Secret | Service | null): void {
    if (object === null) this.#objects.delete(key);
    else this.#objects.set(key, object);
    for (const listener of this.#listeners.get(key) ?? []) listener();
  }
}

function keyOf(kind: Kind, { name, namespace }: ReferenceName): string {
  return `${kind} ${namespace}/${name}`;
}

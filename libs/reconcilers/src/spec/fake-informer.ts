import type { InformerHandler, KubeObject } from '@harikube/kube';

/** Objects that a spec sets and deletes; handlers are told as an `Informer` tells them. */
export class FakeInformer<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<InformerHandler<T>>();

  addHandler(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) handler.onAdd?.(object);
    return () => this.#handlers.delete(handler);
  }

  get handlers(): number {
    return this.#handlers.size;
  }

  set(object: T): void {
    const before = this.#objects.get(nameOf(object));
    this.#objects.set(nameOf(object), object);
    for (const handler of this.#handlers) {
      if (before === undefined) handler.onAdd?.(object);
      else handler.onUpdate?.(before, object);
    }
  }

  delete(object: T): void {
    this.#objects.delete(nameOf(object));
    for (const handler of this.#handlers) handler.onDelete?.(object);
  }
}

function nameOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

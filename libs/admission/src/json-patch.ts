import { isObject, type JsonObject } from './json-object.js';

/** One operation of RFC 6902. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** Changes to an object, and the operations that make the same changes elsewhere. The object itself stays as it is. */
export class JsonPatch {
  readonly #result: Record<string, unknown>;
  readonly #operations: PatchOperation[] = [];

  constructor(object: JsonObject) {
    this.#result = structuredClone(object);
  }

  /** The object with the changes. */
  get result(): JsonObject {
    return this.#result;
  }

  /** Empty when nothing differs. */
  get operations(): readonly PatchOperation[] {
    return this.#operations;
  }

  /** Makes the objects on the way that are missing or null; throws when something else is in the way. */
  set(path: readonly string[], value: unknown): void {
    const parent = this.#parentOf(path);
    const name = path.at(-1) ?? '';
    if (Object.hasOwn(parent, name) && parent[name] === value) return;
    this.#operations.push({ op: Object.hasOwn(parent, name) ? 'replace' : 'add', path: pointer(path), value });
    parent[name] = value;
  }

  /** Adds a text to the end of a list, which is made when it is missing or null, unless the list has it. */
  append(path: readonly string[], value: string): void {
    const parent = this.#parentOf(path);
    const name = path.at(-1) ?? '';
    const list: unknown = Object.hasOwn(parent, name) ? parent[name] : undefined;
    if (!Array.isArray(list)) {
      this.set(path, [value]);
      return;
    }
    if (list.includes(value)) return;
    this.#operations.push({ op: 'add', path: pointer([...path, '-']), value });
    list.push(value);
  }

  /** Does nothing when there is nothing. */
  remove(path: readonly string[]): void {
    let at: unknown = this.#result;
    for (const name of path.slice(0, -1)) {
      if (!isObject(at) || !Object.hasOwn(at, name)) return;
      at = at[name];
    }
    const name = path.at(-1) ?? '';
    if (!isObject(at) || !Object.hasOwn(at, name)) return;
    this.#operations.push({ op: 'remove', path: pointer(path) });
    Reflect.deleteProperty(at, name);
  }

  #parentOf(path: readonly string[]): Record<string, unknown> {
    let at = this.#result;
    for (const [index, name] of path.slice(0, -1).entries()) {
      let next: unknown = Object.hasOwn(at, name) ? at[name] : undefined;
      if (next === undefined || next === null) {
        // `add` also replaces what is there.
        this.#operations.push({ op: 'add', path: pointer(path.slice(0, index + 1)), value: {} });
        at[name] = next = {};
      }
      if (!isObject(next)) throw new Error(`${pointer(path.slice(0, index + 1))} is no object`);
      at = next;
    }
    return at;
  }
}

/** A JSON pointer of RFC 6901. */
function pointer(path: readonly string[]): string {
  return path.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

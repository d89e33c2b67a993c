import { contains, prefixOf } from './key-range.js';
import type { KeyRange } from './model.js';
import { keyText, textKey } from './key-text.js';

const SLASH = 0x2f;

/**
 * Finds the watches of a key without asking each one: by the key itself, by each of its prefixes that ends in a slash
 * (nearly all watches of Kubernetes), and one by one for the few other ranges.
 */
export class WatchIndex<W extends { readonly range: KeyRange }> {
  readonly #byKey = new Map<string, Set<W>>();
  readonly #byPrefix = new Map<string, Set<W>>();
  readonly #others = new Set<W>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(watch: W): void {
    this.#size++;
    const slot = this.#slotOf(watch);
    if (slot === null) {
      this.#others.add(watch);
      return;
    }
    const [map, text] = slot;
    const watches = map.get(text);
    if (watches === undefined) map.set(text, new Set([watch]));
    else watches.add(watch);
  }

  delete(watch: W): void {
    const slot = this.#slotOf(watch);
    if (slot === null) {
      if (this.#others.delete(watch)) this.#size--;
      return;
    }
    const [map, text] = slot;
    const watches = map.get(text);
    if (watches?.delete(watch) !== true) return;
    this.#size--;
    if (watches.size === 0) map.delete(text);
  }

  /** `text`: the key, see `keyText`. */
  forEach(text: string, visit: (watch: W) => void): void {
    if (this.#byKey.size > 0) this.#byKey.get(text)?.forEach(visit);
    if (this.#byPrefix.size > 0) {
      for (let i = text.indexOf('/'); i >= 0; i = text.indexOf('/', i + 1)) this.#byPrefix.get(text.slice(0, i + 1))?.forEach(visit);
    }
    if (this.#others.size === 0) return;
    const key = textKey(text);
    for (const watch of this.#others) if (contains(watch.range, key)) visit(watch);
  }

  #slotOf(watch: W): [Map<string, Set<W>>, string] | null {
    const { range } = watch;
    if (range.single) return [this.#byKey, keyText(range.start)];
    const prefix = prefixOf(range);
    return prefix !== null && prefix[prefix.length - 1] === SLASH ? [this.#byPrefix, keyText(prefix)] : null;
  }
}

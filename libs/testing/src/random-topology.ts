import { isDeepStrictEqual } from 'node:util';
import { endpointLocation, MAIN, parseTopology, type Topology, TopologyError } from '@harikube/datasources';
import type { Random } from './random.js';

const GROUP = 'shop.example.com';
export const BASE = `/registry/${GROUP}/`;
export const KINDS = ['users', 'orders', 'emails'];
export const NAMESPACES = ['a', 'b'];
export const NAMES = ['0', '1', '2'];
const FILES = ['f0', 'f1', 'f2', 'f3', 'f4', 'f5'];

export function keyAtRandom(random: Random): string {
  return `${BASE}${random.pick(KINDS)}/${random.pick(NAMESPACES)}/${random.pick(NAMES)}`;
}

interface RuleText {
  readonly name: string;
  readonly file: string;
  readonly matcher: object;
}

/** Rules over the story's keys that change at random. `endpointOf` tells the data source name of a file. */
export class RandomTopology {
  #rules: readonly RuleText[] = [];
  #named = 0;
  readonly #earlier: (readonly RuleText[])[] = [[]];

  constructor(
    private readonly random: Random,
    private readonly endpointOf: (file: string) => string,
  ) {}

  /** The next one; `keep` makes it the one that the next differs from. */
  next(): { readonly topology: Topology; readonly keep: () => void } {
    for (;;) {
      const rules = this.#changed();
      if (isDeepStrictEqual(rules, this.#rules)) continue;
      try {
        const backends = rules.map(({ name, file, matcher }) => ({ name, endpoint: this.endpointOf(file), ...matcher }));
        const topology = parseTopology(JSON.stringify({ backends }), 'topology.yaml');
        const keep = (): void => {
          this.#earlier.push(rules);
          this.#rules = rules;
        };
        return { topology, keep };
      } catch (error) {
        if (!(error instanceof TopologyError)) throw error;
      }
    }
  }

  #changed(): readonly RuleText[] {
    const { random } = this;
    const rules = [...this.#rules];
    const at = random.below(rules.length + 1);
    const rule = rules[at];
    const free = FILES.filter((file) => rules.every((other) => other.file !== file));
    switch (random.below(8)) {
      case 0:
      case 1:
        if (free.length > 0) rules.splice(at, 0, { name: this.#name(), file: random.pick(free), matcher: this.#matcher() });
        break;
      case 2:
        rules.splice(at, 1);
        break;
      case 3:
        if (rule !== undefined) rules[at] = { ...rule, name: this.#name() };
        break;
      case 4:
        if (rule !== undefined) rules.splice(random.below(rules.length), 0, ...rules.splice(at, 1));
        break;
      case 5:
        if (rule !== undefined) rules[at] = { ...rule, matcher: this.#matcher() };
        break;
      case 6:
        if (rule !== undefined && free.length > 0) rules[at] = { ...rule, file: random.pick(free) };
        break;
      case 7:
        return random.pick(this.#earlier);
    }
    return rules;
  }

  #name(): string {
    return `b${this.#named++}`;
  }

  #matcher(): object {
    const { random } = this;
    const kind = random.pick([...KINDS, 'invoices']);
    const namespace = random.pick(NAMESPACES);
    switch (random.below(7)) {
      case 0:
      case 1:
        return { customresource: { group: GROUP, kind } };
      case 2:
        return { namespace: { namespace, kinds: [`${kind}.${GROUP}`] } };
      case 3:
        return { namespace: { namespace } };
      case 4:
        return { prefix: { prefix: `${BASE}${kind}/${namespace}/` } };
      case 5:
        return { prefix: { prefix: `${BASE}${kind}/${namespace}/${random.pick(NAMES)}` } };
      default:
        return { regexp: { prefix: `^${BASE}${kind}/`, key: `.*[${random.pick(NAMES)}${random.pick(NAMES)}]$` } };
    }
  }
}

/** The database of a key, whatever its name. */
export function databaseOf(topology: Topology, key: Buffer): string {
  const name = topology.route(key);
  const rule = topology.rules.find((candidate) => candidate.name === name);
  return rule === undefined ? MAIN : endpointLocation(rule.endpoint);
}

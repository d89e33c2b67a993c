import { RE2JS } from 're2js';
import { intersect, type KeyInterval, pointInterval, prefixInterval, subtract, toByteString } from './key-interval.js';
import { isClusterScoped, ResourceKeys, resourcePath, storagePathOf } from './resource-key.js';

/** What a rule of the topology matches, in its canonical form: what is ignored is gone, and what may be left out is gone. */
export type Matcher =
  | { readonly type: 'customresource'; readonly group: string; readonly kind?: string }
  /** `kinds` is sorted; empty: every namespaced kind. */
  | { readonly type: 'namespace'; readonly namespace: string; readonly kinds: readonly string[] }
  | { readonly type: 'prefix'; readonly prefix: string }
  | { readonly type: 'regexp'; readonly prefix?: string; readonly key?: string };

/** The keys under one resource path, the path itself included. */
export function resourceIntervals(path: string): readonly KeyInterval[] {
  return [pointInterval(path), prefixInterval(`${path}/`)];
}

/**
 * The keys that one matcher takes. All three questions are about the same set of single keys: `matches` decides, `within`
 * may only err by saying that an interval is touched when it is not.
 */
export interface KeyRule {
  matches(key: Buffer): boolean;
  /** Whether some key of the interval may match, and the parts of the interval in which every key does. */
  within(interval: KeyInterval): { readonly touches: boolean; readonly taken: readonly KeyInterval[] };
  /** Intervals outside which no key matches. */
  readonly extent: readonly KeyInterval[];
}

/** Every key of `interval` is one of the rule's. */
export function takesAll(rule: KeyRule, interval: KeyInterval): boolean {
  let rest: KeyInterval[] = [interval];
  for (const taken of rule.within(interval).taken) {
    rest = rest.flatMap((left) => subtract(left, taken));
  }
  return rest.length === 0;
}

/**
 * Whether `earlier` certainly takes every key that `later` could: `later` then never matches. The point beside a path's
 * subtree (`/registry/pods` beside `/registry/pods/`) holds no object and does not count.
 */
export function shadows(earlier: KeyRule, later: KeyRule): boolean {
  const subtrees = later.extent.filter((interval) => interval.to !== `${interval.from}\0`);
  return subtrees.every((interval) => takesAll(earlier, interval));
}

/** A rule whose keys are a few intervals: everything but namespaces without kinds and regular expressions. */
class IntervalRule implements KeyRule {
  readonly #bounds: readonly { readonly from: Buffer; readonly to: Buffer | null }[];

  constructor(readonly extent: readonly KeyInterval[]) {
    this.#bounds = extent.map(({ from, to }) => ({
      from: Buffer.from(from, 'latin1'),
      to: to === null ? null : Buffer.from(to, 'latin1'),
    }));
  }

  matches(key: Buffer): boolean {
    return this.#bounds.some(({ from, to }) => key.compare(from) >= 0 && (to === null || key.compare(to) < 0));
  }

  within(interval: KeyInterval): { touches: boolean; taken: KeyInterval[] } {
    const taken = this.extent.map((own) => intersect(own, interval)).filter((shared) => shared !== undefined);
    return { touches: taken.length > 0, taken };
  }
}

/**
 * Every namespaced object of one namespace: a key with a further segment after the namespace. So neither the Namespace itself
 * (`/registry/namespaces/x`) nor a cluster-scoped object of the same name (`/registry/clusterroles/x`) is taken.
 */
class NamespaceRule implements KeyRule {
  readonly extent: readonly KeyInterval[];
  readonly #suffix: Buffer;

  constructor(
    private readonly base: string,
    private readonly keys: ResourceKeys,
    namespace: string,
  ) {
    this.extent = [prefixInterval(base)];
    this.#suffix = Buffer.from(`/${namespace}/`);
  }

  matches(key: Buffer): boolean {
    const end = this.keys.end(key);
    const suffix = this.#suffix;
    return (
      end >= 0 &&
      key.length >= end + suffix.length &&
      key.compare(suffix, 0, suffix.length, end, end + suffix.length) === 0 &&
      this.#isNamespaced(key.toString('latin1', this.keys.baseLength, end))
    );
  }

  within(interval: KeyInterval): { touches: boolean; taken: KeyInterval[] } {
    const inside = this.extent.map((own) => intersect(own, interval)).find((shared) => shared !== undefined);
    if (inside === undefined) {
      return { touches: false, taken: [] };
    }
    const first = Buffer.from(inside.from, 'latin1');
    if (inside.to === `${inside.from}\0`) {
      return this.matches(first) ? { touches: true, taken: [inside] } : { touches: false, taken: [] };
    }
    const end = this.keys.end(first);
    const resource = end < 0 ? '' : first.toString('latin1', this.keys.baseLength, end);
    const path = this.base + resource;
    // Only an interval inside one resource tells which keys of it are the namespace's.
    if (end < 0 || !this.keys.isWhole(resource) || subtract(inside, prefixInterval(`${path}/`)).length > 0) {
      return { touches: true, taken: [] };
    }
    const taken = this.#isNamespaced(resource) ? intersect(inside, prefixInterval(path + this.#suffix.toString('latin1'))) : undefined;
    return taken === undefined ? { touches: false, taken: [] } : { touches: true, taken: [taken] };
  }

  #isNamespaced(resource: string): boolean {
    return !isClusterScoped(resource) && this.keys.isWhole(resource);
  }
}

/**
 * Keys in which an expression is found (anywhere, unless it is anchored). `key` decides; without it `prefix` does. Of a
 * `prefix` beside a `key` only the anchored literal at its front counts (`^/registry/pods/`): the rule holds no key outside
 * it, so ranges outside it need not be asked.
 */
class RegexpRule implements KeyRule {
  readonly extent: readonly KeyInterval[];
  readonly #expression: RE2JS;
  readonly #front: Buffer;
  readonly #takesAll: boolean;

  constructor(prefix: string | undefined, key: string | undefined) {
    const decisive = key ?? prefix ?? '';
    const fronts = [prefix ?? '', decisive].map((expression) => toByteString(splitAnchored(expression).literal));
    const longest = fronts.reduce((a, b) => (b.length > a.length ? b : a));
    this.extent = fronts.every((front) => longest.startsWith(front)) ? [prefixInterval(longest)] : [];
    this.#front = Buffer.from(longest, 'latin1');
    this.#expression = RE2JS.compile(decisive);
    const { anchored, rest } = splitAnchored(decisive);
    // Not `^.*$`: a dot stops at a line break, which a key may hold.
    this.#takesAll = rest === '' || rest === '.*' || (!anchored && (rest === '$' || rest === '.*$'));
  }

  matches(key: Buffer): boolean {
    const front = this.#front;
    return (
      this.extent.length > 0 &&
      key.length >= front.length &&
      key.compare(front, 0, front.length, 0, front.length) === 0 &&
      this.#expression.test(key)
    );
  }

  within(interval: KeyInterval): { touches: boolean; taken: KeyInterval[] } {
    const shared = this.extent.map((own) => intersect(own, interval)).filter((part) => part !== undefined);
    return { touches: shared.length > 0, taken: this.#takesAll ? shared : [] };
  }
}

/**
 * The ASCII text with which every match of an expression begins, and what follows it. An expression that is not anchored to the
 * start, or that has alternatives, has none.
 */
function splitAnchored(expression: string): { anchored: boolean; literal: string; rest: string } {
  if (!expression.startsWith('^') || mayHaveAlternatives(expression)) {
    return { anchored: expression.startsWith('^'), literal: '', rest: expression };
  }
  let literal = '';
  let index = 1;
  while (index < expression.length) {
    const escaped = expression.charAt(index) === '\\';
    const char = expression.charAt(escaped ? index + 1 : index);
    const isLiteral = escaped ? /^[!-/:-@[-`{-~]$/.test(char) : /^[ -~]$/.test(char) && !'.+*?()|[]{}^$'.includes(char);
    const next = index + (escaped ? 2 : 1);
    // A quantifier may take the character away again.
    if (!isLiteral || '*?{+'.includes(expression.charAt(next) || ' ')) {
      break;
    }
    literal += char;
    index = next;
  }
  return { anchored: true, literal, rest: expression.slice(index) };
}

/** Whether a `|` may stand outside every group; where quoted runs or odd classes make that hard to tell: yes. */
function mayHaveAlternatives(expression: string): boolean {
  if (/\\Q|\[\^?\]|\[:/.test(expression)) {
    return true;
  }
  let depth = 0;
  let inClass = false;
  for (let index = 0; index < expression.length; index++) {
    const char = expression.charAt(index);
    if (char === '\\') {
      index++;
    } else if (inClass) {
      inClass = char !== ']';
    } else if (char === '[') {
      inClass = true;
    } else if (char === '(') {
      depth++;
    } else if (char === ')') {
      depth--;
    } else if (char === '|' && depth <= 0) {
      return true;
    }
  }
  return false;
}

/** Builds the key set of a matcher whose texts have been validated; `etcdPrefix` is normalised. */
export function compileRule(matcher: Matcher, etcdPrefix: string): KeyRule {
  const base = toByteString(`${etcdPrefix}/`);
  switch (matcher.type) {
    case 'customresource': {
      const path = matcher.kind === undefined ? matcher.group : `${matcher.group}/${matcher.kind}`;
      return new IntervalRule(resourceIntervals(base + path));
    }
    case 'namespace': {
      if (matcher.kinds.length === 0) {
        return new NamespaceRule(base, new ResourceKeys(etcdPrefix), matcher.namespace);
      }
      return new IntervalRule(matcher.kinds.map((kind) => prefixInterval(`${base}${resourcePath(kind)}/${matcher.namespace}/`)));
    }
    case 'prefix': {
      const prefix = toByteString(matcher.prefix);
      if (!prefix.startsWith('/')) {
        return new IntervalRule(resourceIntervals(base + storagePathOf(prefix)));
      }
      return new IntervalRule(prefix.endsWith('/') ? resourceIntervals(prefix.slice(0, -1)) : [prefixInterval(prefix)]);
    }
    case 'regexp':
      return new RegexpRule(matcher.prefix, matcher.key);
  }
}

/** The matcher as one line for people. */
export function matcherText(matcher: Matcher): string {
  switch (matcher.type) {
    case 'customresource':
      return `customresource group=${matcher.group}${matcher.kind === undefined ? '' : ` kind=${matcher.kind}`}`;
    case 'namespace':
      return `namespace ${matcher.namespace}${matcher.kinds.length === 0 ? '' : ` kinds=${matcher.kinds.join(',')}`}`;
    case 'prefix':
      return `prefix ${matcher.prefix}`;
    case 'regexp':
      return [
        'regexp',
        ...(matcher.prefix === undefined ? [] : [`prefix=${matcher.prefix}`]),
        ...(matcher.key === undefined ? [] : [`key=${matcher.key}`]),
      ].join(' ');
  }
}

import type { KeyRange } from '@harikube/keyspace';
import { type Endpoint, endpointIdentity, redactEndpoint } from './endpoint.js';
import { fromByteString, intersect, type KeyInterval, pointInterval, prefixInterval, subtract, toByteString } from './key-interval.js';
import { compileRule, type KeyRule, type Matcher, matcherText, resourceIntervals, takesAll } from './key-rule.js';
import { normalizeEtcdPrefix, ResourceKeys, resourcePath } from './resource-key.js';

/** The name of the default backend. */
export const MAIN = 'main';

export interface BackendTls {
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly skipVerify: boolean;
}

/** What is absent is the database's own default. */
export interface ConnectionPool {
  readonly maxIdle?: number;
  readonly maxOpen?: number;
  readonly maxLifeTimeMs?: number;
  readonly maxIdleLifeTimeMs?: number;
}

/** Paces the physical removal of compacted rows in one database; what is absent follows the router's own setting. */
export interface CompactionPace {
  readonly intervalMs?: number;
  readonly intervalJitterPercent?: number;
  readonly timeoutMs?: number;
  readonly minRetain?: number;
  readonly batchSize?: number;
}

/** One rule of the topology and the database behind it. */
export interface TopologyRule {
  readonly name: string;
  readonly matcher: Matcher;
  /** As written, with its credentials: for opening the database only, never shown. */
  readonly dataSourceName: string;
  readonly endpoint: Endpoint;
  readonly tls: BackendTls | null;
  readonly pool: ConnectionPool;
  readonly compaction: CompactionPace;
  readonly disableStorageLevelFiltering: boolean;
  /** Where the rule stands in its source; 0: it was not read from text. */
  readonly line: number;
}

export interface TopologyOptions {
  /** kube-apiserver's `--etcd-prefix`. */
  readonly etcdPrefix?: string;
  /** The default backend's data source name, for explanations. */
  readonly defaultDataSourceName?: string;
}

/** What decides where keys live, and nothing else: recorded beside the data, and compared with what a source says. */
export interface AppliedTopology {
  readonly etcdPrefix: string;
  readonly rules: readonly { readonly name: string; readonly endpoint: string; readonly matcher: Matcher }[];
}

/** A database and the rule that leads to it. */
export interface Placement {
  readonly backend: string;
  /** The rule's position from 0; null: no rule, the default. */
  readonly ruleIndex: number | null;
  /** The rule's line in its source; null: no rule, or not known. */
  readonly line: number | null;
  /** The rule's matcher in words. */
  readonly matcher: string;
  /** Redacted. */
  readonly endpoint: string;
}

export interface Explanation {
  readonly subject: string;
  /** `key`: one single key. `range`: every key below `path`, a resource's or a namespace's. */
  readonly kind: 'key' | 'range';
  /** The key, or the path whose keys are meant. */
  readonly path: string;
  /** In rule order; one, unless the range is spread over databases. */
  readonly placements: readonly Placement[];
  /** For a key: all databases of its resource, in rule order. The same as `placements` for a range. */
  readonly resourcePlacements: readonly Placement[];
}

/** What somebody asked about is neither a key nor a resource. */
export class UnknownSubjectError extends Error {
  override readonly name = 'UnknownSubjectError';
  /** Its message is for whoever started the process. */
  readonly exitCode = 2;
  constructor(subject: string) {
    super(
      `"${subject}" is neither a key nor a resource; write a key that begins with "/", or a plural in lower case with its group, such as users.example.com`,
    );
  }
}

/** Keys that live in the default database whatever the rules say. */
function fixedKeys(etcdPrefix: string): readonly string[] {
  return ['compact_rev_key', toByteString(`${etcdPrefix}/health`)];
}

/** Tells databases apart in what is recorded, without credentials. */
function recordedEndpoint(endpoint: Endpoint): string {
  // A path as it was written: a link may lead elsewhere by the time this is read.
  return endpoint.scheme === 'sqlite' ? `sqlite://${endpoint.path}` : endpointIdentity(endpoint);
}

/** How the rules apply to the keys of one resource. */
interface ResourceRoute {
  /** Rules that take some of the resource's keys, in order. */
  readonly partial: readonly { readonly rule: KeyRule; readonly backend: string }[];
  /** The backend of every key that none of `partial` takes. */
  readonly otherwise: string;
  /** Every backend that could hold a key below the resource (`/registry/pods/` and on), in rule order, `main` last. */
  readonly below: readonly string[];
}

const SLASH = 0x2f;
const AFTER_SLASH = 0x30;
const MAX_RESOURCE_ROUTES = 8192;

/**
 * Ordered rules that place every key in one backend. The first rule that takes a key decides; a key that no rule takes lives
 * in `main`. Placement is decided by single keys alone; a range belongs to every backend that could hold a key of it.
 */
export class Topology {
  readonly etcdPrefix: string;
  readonly #defaultDataSourceName: string;
  readonly #keyRules: readonly { readonly rule: KeyRule; readonly backend: string; readonly index: number | null }[];
  readonly #keys: ResourceKeys;
  readonly #base: string;
  // What the rules say about a resource is worked out once: route() is asked several times in every request.
  readonly #routes = new Map<string, ResourceRoute>();

  constructor(
    readonly rules: readonly TopologyRule[],
    options: TopologyOptions = {},
  ) {
    this.etcdPrefix = normalizeEtcdPrefix(options.etcdPrefix ?? '/registry');
    this.#defaultDataSourceName = options.defaultDataSourceName ?? '';
    this.#keys = new ResourceKeys(this.etcdPrefix);
    this.#base = toByteString(`${this.etcdPrefix}/`);
    this.#keyRules = [
      ...fixedKeys(this.etcdPrefix).map((key) => ({ rule: compilePoint(key), backend: MAIN, index: null })),
      ...rules.map(({ name, matcher }, index) => ({ rule: compileRule(matcher, this.etcdPrefix), backend: name, index })),
    ];
  }

  /** The backends' names in rule order, then `main`. */
  registeredNames(): readonly string[] {
    return [...this.rules.map(({ name }) => name), MAIN];
  }

  /** Settings of rules that say nothing to the database behind them: whoever wrote them is told. */
  withoutEffect(): readonly { readonly name: string; readonly setting: string }[] {
    return this.rules.flatMap(({ name, endpoint, pool, compaction, disableStorageLevelFiltering }) => {
      const given = {
        connectionPool: endpoint.scheme === 'sqlite' && Object.values(pool).some((value) => value !== undefined),
        compactInterval: compaction.intervalMs !== undefined,
        compactIntervalJitter: compaction.intervalJitterPercent !== undefined,
        compactTimeout: compaction.timeoutMs !== undefined,
        disableStorageLevelFiltering,
      };
      return Object.entries(given).flatMap(([setting, isGiven]) => (isGiven ? [{ name, setting }] : []));
    });
  }

  /** The backend in which a single key lives. */
  route(key: Buffer): string {
    const end = this.#keys.end(key);
    if (end < 0) {
      return this.#keyRules.find(({ rule }) => rule.matches(key))?.backend ?? MAIN;
    }
    const { partial, otherwise } = this.#resourceRoute(key.toString('latin1', this.#keys.baseLength, end));
    for (const { rule, backend } of partial) {
      if (rule.matches(key)) {
        return backend;
      }
    }
    return otherwise;
  }

  /**
   * Every backend that could hold a key of the range, in rule order, `main` last. Never too few. Too many only where a
   * regular expression or a namespace rule without kinds leaves open which keys of the range are its own. At least one
   * backend, even for a range that is empty.
   */
  backendsFor(range: KeyRange): readonly string[] {
    if (range.single) {
      return [this.route(range.start)];
    }
    const { start, end } = range;
    const resourceEnd = this.#keys.end(start);
    if (end !== null && resourceEnd >= 0 && resourceEnd < start.length) {
      const resource = start.toString('latin1', this.#keys.baseLength, resourceEnd);
      if (isBelow(end, start, resourceEnd) && this.#keys.isWhole(resource)) {
        const route = this.#resourceRoute(resource);
        if (route.below.length === 1 || (start.length === resourceEnd + 1 && end.length === resourceEnd + 1)) {
          return route.below;
        }
      }
    }
    const from = start.toString('latin1');
    const to = end === null ? null : end.toString('latin1');
    if (to !== null && to <= from) {
      return [MAIN];
    }
    return this.#backendsOf({ from, to });
  }

  /**
   * Names the rule and the database of an absolute key (`/registry/pods/ns/x`), of all keys below a path
   * (`/registry/pods/ns/`), or of a resource (`pods`, `users.product.webshop.harikube.info`). Throws `UnknownSubjectError`
   * for what is none of these.
   */
  explain(keyOrResource: string): Explanation {
    if (!keyOrResource.startsWith('/') && keyOrResource !== 'compact_rev_key') {
      if (!/^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/.test(keyOrResource)) {
        throw new UnknownSubjectError(keyOrResource);
      }
      const path = this.#base + toByteString(resourcePath(keyOrResource));
      return this.#explainRange(keyOrResource, path);
    }
    const key = Buffer.from(keyOrResource);
    const bytes = key.toString('latin1');
    const end = this.#keys.end(key);
    const resource = end < 0 ? '' : bytes.slice(this.#keys.baseLength, end);
    const isResource = end >= 0 && end === key.length && this.#keys.isWhole(resource) && !fixedKeys(this.etcdPrefix).includes(bytes);
    if (bytes.endsWith('/') || isResource) {
      return this.#explainRange(keyOrResource, bytes.replace(/\/$/, ''));
    }
    const placements = [this.#placement(this.#keyRules.findIndex(({ rule }) => rule.matches(key)))];
    const resourcePlacements = end >= 0 && end < key.length ? this.#placementsBelow(bytes.slice(0, end)) : placements;
    return { subject: keyOrResource, kind: 'key', path: keyOrResource, placements, resourcePlacements };
  }

  /** What decides the placement of keys, in a form that survives `JSON.stringify` and compares by it. */
  toJSON(): AppliedTopology {
    return {
      etcdPrefix: this.etcdPrefix,
      rules: this.rules.map(({ name, endpoint, matcher }) => ({ name, endpoint: recordedEndpoint(endpoint), matcher })),
    };
  }

  #resourceRoute(resource: string): ResourceRoute {
    const known = this.#routes.get(resource);
    if (known !== undefined) {
      return known;
    }
    // Anybody may ask for any key: the memory of resources is bounded.
    if (this.#routes.size >= MAX_RESOURCE_ROUTES) {
      this.#routes.clear();
    }
    const path = this.#base + resource;
    const below = prefixInterval(`${path}/`);
    const route = { ...this.#judge(resourceIntervals(path)), below: this.#backendsOf(below) };
    this.#routes.set(resource, route);
    return route;
  }

  #judge(intervals: readonly KeyInterval[]): Omit<ResourceRoute, 'below'> {
    const partial: { rule: KeyRule; backend: string }[] = [];
    for (const { rule, backend } of this.#keyRules) {
      if (intervals.every((interval) => takesAll(rule, interval))) {
        return { partial, otherwise: backend };
      }
      if (intervals.some((interval) => rule.within(interval).touches)) {
        partial.push({ rule, backend });
      }
    }
    return { partial, otherwise: MAIN };
  }

  #backendsOf(interval: KeyInterval): readonly string[] {
    return inRuleOrder(this.#touching(interval).map((position) => this.#keyRules[position]?.backend ?? MAIN));
  }

  /** Positions in `#keyRules` of the rules that could take a key of the interval; -1: no rule might. */
  #touching(interval: KeyInterval): number[] {
    const touching: number[] = [];
    let open: KeyInterval[] = [interval];
    for (const [index, { rule }] of this.#keyRules.entries()) {
      if (open.some((part) => rule.within(part).touches)) {
        touching.push(index);
        open = open.flatMap((part) =>
          rule.within(part).taken.reduce<KeyInterval[]>((left, taken) => left.flatMap((piece) => subtract(piece, taken)), [part]),
        );
      }
    }
    return open.length > 0 ? [...touching, -1] : touching;
  }

  #backendAt(position: number): string {
    return this.#keyRules[position]?.backend ?? MAIN;
  }

  #explainRange(subject: string, path: string): Explanation {
    const placements = this.#placementsBelow(path);
    return { subject, kind: 'range', path: `${fromByteString(path)}/`, placements, resourcePlacements: placements };
  }

  #placementsBelow(path: string): Placement[] {
    const positions = this.#touching(prefixInterval(`${path}/`));
    const seen = new Set<string>();
    const placements: Placement[] = [];
    // The fixed keys stand before the rules; `main` is shown last however it is reached.
    for (const position of [
      ...positions.filter((at) => this.#backendAt(at) !== MAIN),
      ...positions.filter((at) => this.#backendAt(at) === MAIN),
    ]) {
      const placement = this.#placement(position);
      if (!seen.has(placement.backend)) {
        seen.add(placement.backend);
        placements.push(placement);
      }
    }
    return placements;
  }

  #placement(position: number): Placement {
    const index = this.#keyRules[position]?.index ?? null;
    const rule = index === null ? undefined : this.rules[index];
    if (rule === undefined) {
      const matcher = position >= 0 ? 'fixed: always in the default database' : 'no rule matches: the default';
      return { backend: MAIN, ruleIndex: null, line: null, matcher, endpoint: redactEndpoint(this.#defaultDataSourceName) };
    }
    return {
      backend: rule.name,
      ruleIndex: index,
      line: rule.line > 0 ? rule.line : null,
      matcher: matcherText(rule.matcher),
      endpoint: redactEndpoint(rule.dataSourceName),
    };
  }
}

function compilePoint(key: string): KeyRule {
  const point = pointInterval(key);
  const bytes = Buffer.from(key, 'latin1');
  return {
    extent: [point],
    matches: (other) => other.equals(bytes),
    within: (interval) => {
      const shared = intersect(point, interval);
      return { touches: shared !== undefined, taken: shared === undefined ? [] : [shared] };
    },
  };
}

/** Whether `end` lies within the subtree of the path that ends at `pathEnd` of `start`, or right after it. */
function isBelow(end: Buffer, start: Buffer, pathEnd: number): boolean {
  if (end.length <= pathEnd || end.compare(start, 0, pathEnd, 0, pathEnd) !== 0) {
    return false;
  }
  return end[pathEnd] === SLASH || (end[pathEnd] === AFTER_SLASH && end.length === pathEnd + 1);
}

function inRuleOrder(backends: readonly string[]): readonly string[] {
  const distinct = new Set(backends);
  return distinct.delete(MAIN) ? [...distinct, MAIN] : [...distinct];
}

import type { Revision } from '@harikube/keyspace';
import type { Random } from '@harikube/testing';
import {
  type Area,
  type Compare,
  type DeleteOperation,
  type Operation,
  prefixRange,
  type PutOperation,
  type RangeOperation,
  type Request,
  type TxnOperation,
} from './history.js';

/** What requests are made from: what anybody was told. */
export interface Knowledge {
  readonly highest: Revision;
  /** Requests for what lies below may be answered that it is compacted. */
  readonly compactRevision: Revision;
  /** The revision that a compaction may go to. */
  readonly compactable: Revision;
  /** Mod revisions that were seen last; 0: no such key. */
  readonly known: ReadonlyMap<string, Revision>;
  /** Leases that may be alive. */
  readonly leases: readonly bigint[];
  readonly base: Revision;
}

export interface MixOptions {
  readonly areas: readonly Area[];
  readonly common: string;
  readonly keysOfArea: number;
  /** Compactions, and requests about what they removed, come now and then. */
  readonly compacts: boolean;
}

/** How often each kind of request comes, in parts of all. */
const WEIGHTS = {
  put: 18,
  create: 6,
  update: 14,
  remove: 6,
  get: 10,
  list: 8,
  listAll: 8,
  past: 5,
  page: 4,
  deleteRange: 2,
  txn: 10,
  readTxn: 3,
  spanning: 0.5,
  compact: 0.5,
  grant: 1,
  revoke: 0.6,
  keepAlive: 1,
  leaseLife: 2.5,
};

/** A step of a client: requests one after the other, or pages of one list. */
export type Step =
  | { readonly type: 'calls'; readonly requests: readonly Request[] }
  | { readonly type: 'pages'; readonly first: RangeOperation };

/** Random requests of one client. */
export class RequestMix {
  #values = 0;
  #leases = 0;

  constructor(
    /** Unlike that of any other client of any workload on the same router. */
    private readonly name: string,
    /** Leases of this client have numbers above it. */
    private readonly firstLease: bigint,
    private readonly random: Random,
    private readonly options: MixOptions,
  ) {}

  next(knowledge: Knowledge): Step {
    const { random, options } = this;
    const area = random.pick(options.areas);
    switch (this.#kind()) {
      case 'put':
        return call(this.#put(this.#key(area), knowledge));
      case 'create': {
        const key = this.#key(area);
        return call(txn([modIs(key, 0n)], [this.#put(key, knowledge)], random.chance(0.5) ? [get(key)] : []));
      }
      case 'update': {
        const key = this.#key(area);
        const operation = random.chance(0.25) ? this.#delete(key, '') : this.#put(key, knowledge);
        return call(txn([modIs(key, knowledge.known.get(key) ?? 0n)], [operation], [get(key)]));
      }
      case 'remove':
        return call(this.#delete(this.#key(area), ''));
      case 'get':
        return call({ ...get(this.#key(area)), keysOnly: random.chance(0.1), countOnly: random.chance(0.05) });
      case 'list':
        return call(this.#range(this.#span(area), 0n));
      case 'listAll':
        return call(this.#range(this.#everything(), 0n));
      case 'past':
        return call(this.#range(random.chance(0.5) ? this.#span(area) : this.#everything(), this.#pastRevision(knowledge)));
      case 'page': {
        const range = random.chance(0.5) ? prefixRange(area.prefix) : this.#everything();
        const revision = random.chance(0.3) ? this.#pastRevision(knowledge) : 0n;
        const limit = 1 + random.below(5);
        return { type: 'pages', first: { type: 'range', ...range, revision, limit, keysOnly: false, countOnly: false } };
      }
      case 'deleteRange': {
        const [one, other] = [this.#key(area), this.#key(area)].sort() as [string, string];
        return call(this.#delete(one, `${other}~`));
      }
      case 'txn':
        return call(this.#txn(area, knowledge, true));
      case 'readTxn':
        return call(this.#readTxn(knowledge));
      case 'spanning': {
        const [first, second] = options.areas;
        if (first === undefined || second === undefined || random.chance(0.3)) {
          const { key, end } = this.#everything();
          return call(this.#delete(key, end));
        }
        return call(txn([], [this.#put(this.#key(first), knowledge), this.#put(this.#key(second), knowledge)], []));
      }
      case 'compact':
        if (!options.compacts || knowledge.compactable <= knowledge.base) return call(this.#range(this.#everything(), 0n));
        return call({ type: 'compact', revision: random.chance(0.8) ? knowledge.compactable : this.#pastRevision(knowledge) });
      case 'grant':
        return call(this.#grant());
      case 'revoke':
        return knowledge.leases.length === 0 ? call(get(this.#key(area))) : call({ type: 'revoke', lease: random.pick(knowledge.leases) });
      case 'keepAlive':
        return knowledge.leases.length === 0
          ? call(get(this.#key(area)))
          : call({ type: 'keep-alive', lease: random.pick(knowledge.leases) });
      case 'leaseLife': {
        const grant = this.#grant();
        const revoke: Request = { type: 'revoke', lease: grant.lease };
        return { type: 'calls', requests: [grant, this.#attach(area, grant.lease, knowledge), ...(random.chance(0.7) ? [revoke] : [])] };
      }
    }
  }

  /** A range for a watch: a key, some keys, an area, or everything. */
  watchRange(): { readonly key: string; readonly end: string } {
    const area = this.random.pick(this.options.areas);
    const dice = this.random.next();
    if (dice < 0.2) return { key: this.#key(area), end: '' };
    if (dice < 0.6) return this.#span(area);
    return dice < 0.75 ? prefixRange(area.prefix) : this.#everything();
  }

  /** Of late, seldom from before the last compaction. */
  #pastRevision({ highest, base, compactRevision }: Knowledge): Revision {
    const back = BigInt(this.random.below(this.random.chance(0.2) ? 1000 : 60));
    const wanted = highest - back;
    const oldest = this.options.compacts && this.random.chance(0.05) ? base : compactRevision > base ? compactRevision : base;
    return wanted < oldest ? oldest : wanted;
  }

  #kind(): keyof typeof WEIGHTS {
    let dice = this.random.next() * TOTAL;
    for (const [kind, weight] of ENTRIES) if ((dice -= weight) < 0) return kind;
    return 'get';
  }

  #key({ prefix }: Area): string {
    return `${prefix}${String(this.random.below(this.options.keysOfArea)).padStart(3, '0')}`;
  }

  #everything(): { readonly key: string; readonly end: string } {
    return prefixRange(this.options.common);
  }

  #span(area: Area): { readonly key: string; readonly end: string } {
    if (this.random.chance(0.5)) return prefixRange(area.prefix);
    const [one, other] = [this.#key(area), this.#key(area)].sort() as [string, string];
    // A continue key ends in a zero byte.
    return { key: this.random.chance(0.3) ? `${one}\0` : one, end: `${other}~` };
  }

  #put(key: string, { leases }: Knowledge): PutOperation {
    const { random } = this;
    const lease = leases.length > 0 && random.chance(0.12) ? random.pick(leases) : 0n;
    const value = `${this.name}-${++this.#values}-${'x'.repeat(random.below(random.chance(0.05) ? 3000 : 60))}`;
    return { type: 'put', key, value, lease, prevKv: random.chance(0.4) };
  }

  #grant(): Request & { readonly type: 'grant' } {
    return { type: 'grant', lease: this.firstLease + BigInt(++this.#leases), ttl: BigInt(2 + this.random.below(2)) };
  }

  /** Several keys of one area, which the lease takes with it at one revision. */
  #attach(area: Area, lease: bigint, knowledge: Knowledge): TxnOperation {
    const keys = new Set([this.#key(area), this.#key(area), this.#key(area)]);
    return txn(
      [],
      [...keys].map((key) => ({ ...this.#put(key, knowledge), lease })),
      [],
    );
  }

  #delete(key: string, end: string): DeleteOperation {
    return { type: 'delete', key, end, prevKv: this.random.chance(0.5) };
  }

  #range(range: { readonly key: string; readonly end: string }, revision: Revision): RangeOperation {
    const { random } = this;
    return {
      type: 'range',
      ...range,
      revision,
      limit: random.chance(0.3) ? 1 + random.below(6) : 0,
      keysOnly: random.chance(0.1),
      countOnly: random.chance(0.05),
    };
  }

  /** Compares and operations over keys of one area; no key is written twice. */
  #txn(area: Area, knowledge: Knowledge, mayNest: boolean): TxnOperation {
    const { random } = this;
    const keys = [...new Set([this.#key(area), this.#key(area), this.#key(area), this.#key(area)])];
    const compares = keys.slice(0, random.below(3)).map((key) => this.#compare(key, knowledge));
    if (random.chance(0.1)) compares.push({ ...this.#compare('', knowledge), ...this.#span(area) });
    const writes = keys.map((key): Operation => (random.chance(0.3) ? this.#delete(key, '') : this.#put(key, knowledge)));
    const success: Operation[] = [];
    if (random.chance(0.4)) success.push(this.#range(this.#span(area), 0n));
    success.push(...writes.slice(0, 2));
    if (random.chance(0.4)) success.push(this.#range(prefixRange(area.prefix), 0n));
    const failure: Operation[] = random.chance(0.5) ? [this.#range(this.#span(area), 0n), ...writes.slice(2, 3)] : [get(this.#key(area))];
    if (mayNest && random.chance(0.15))
      success.push({ ...this.#txn(area, knowledge, false), success: [get(this.#key(area))], failure: [this.#range(this.#span(area), 0n)] });
    return txn(compares, success, failure);
  }

  #compare(key: string, { known }: Knowledge): Compare {
    const { random } = this;
    const seen = known.get(key) ?? 0n;
    const basis = { key, end: '', number: 0n, value: '' };
    switch (random.below(5)) {
      case 0:
        return { ...basis, target: 'version', result: random.pick(['equal', 'greater'] as const), number: BigInt(random.below(4)) };
      case 1:
        return { ...basis, target: 'create', result: random.pick(['equal', 'not-equal'] as const), number: random.chance(0.5) ? 0n : seen };
      case 2:
        return { ...basis, target: 'value', result: random.pick(['greater', 'less', 'not-equal'] as const), value: this.name };
      case 3:
        return { ...basis, target: 'lease', result: 'equal', number: 0n };
      default:
        return { ...basis, target: 'mod', result: random.pick(['equal', 'less', 'greater'] as const), number: seen };
    }
  }

  /** Reads over all areas at one moment. */
  #readTxn(knowledge: Knowledge): TxnOperation {
    const ranges = this.options.areas.map((area) => this.#range(this.#span(area), 0n));
    const compares = this.options.areas.slice(0, 2).map((area) => this.#compare(this.#key(area), knowledge));
    return txn(compares, ranges, [this.#range(this.#everything(), 0n)]);
  }
}

const ENTRIES = Object.entries(WEIGHTS) as [keyof typeof WEIGHTS, number][];
const TOTAL = ENTRIES.reduce((sum, [, weight]) => sum + weight, 0);

function call(request: Request): Step {
  return { type: 'calls', requests: [request] };
}

function txn(compares: readonly Compare[], success: readonly Operation[], failure: readonly Operation[]): TxnOperation {
  return { type: 'txn', compares, success, failure };
}

function get(key: string): RangeOperation {
  return { type: 'range', key, end: '', revision: 0n, limit: 0, keysOnly: false, countOnly: false };
}

function modIs(key: string, revision: Revision): Compare {
  return { key, end: '', target: 'mod', result: 'equal', number: revision, value: '' };
}

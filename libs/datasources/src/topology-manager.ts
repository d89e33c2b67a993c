import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  type BackendStatus,
  type FormerRouting,
  Keyspace,
  type KeyRange,
  type KeyspaceOptions,
  type Revision,
  type RoutingVerdict,
  WriterLease,
  type WriterLeaseOptions,
  type WriterRecord,
  messageOf,
} from '@harikube/keyspace';
import type { RouterBackendReport, RouterTopologyMove, RouterTopologyPlan } from '@harikube/platform';
import type { Database } from './database.js';
import { RefusedDatabaseError } from './database-errors.js';
import { type DatabaseDefaults, Databases, type DatabaseUse } from './databases.js';
import { openBackends } from './open-backends.js';
import { PlacementError } from './placement-check.js';
import { affectedRanges } from './topology/affected-ranges.js';
import { type Endpoint, endpointIdentity, endpointLocation, redactEndpoint } from './topology/endpoint.js';
import { MAIN, Topology, type TopologyOptions, type TopologyRule } from './topology/topology.js';
import { topologyChanges } from './topology/topology-changes.js';
import { topologyVersion } from './topology/topology-version.js';
import { type FormerTopology, recordedTopology, settingsOf, type TopologyRecord } from './topology-record.js';

// What the admin API tells of a store is what there is to tell of it.
export type TopologyMove = RouterTopologyMove;
export type TopologyPlan = Pick<RouterTopologyPlan, 'changes' | 'moves' | 'problems'>;
export type BackendReport = RouterBackendReport;

/** A topology that is told, or the one that was in force last: an empty one in a fresh store. */
export type StartFrom = { readonly topology: Topology; readonly version?: string } | 'recorded';

export interface TopologyManagerOptions {
  /** The default database, and how it is used. */
  readonly main: Pick<DatabaseUse, 'endpoint' | 'tls' | 'pool'>;
  /** What the source says, or `recorded` as long as that cannot be read. A function is asked when this router has its turn. */
  readonly startFrom: StartFrom | ((hasWaited: boolean) => StartFrom);
  readonly topologyOptions: TopologyOptions;
  /** Where a rule does not say. */
  readonly defaults: DatabaseDefaults;
  /** This process, as the other routers of the store see it; while another one is the writer `open` waits for its turn. */
  readonly writer: Pick<WriterLeaseOptions, 'identity' | 'onWaiting' | 'signal'>;
  readonly keyspace: Omit<KeyspaceOptions, 'main' | 'lease' | 'backends' | 'routing' | 'former'>;
}

/** Pause before the record is tried again. */
const RECORD_RETRY_MS = 1_000;
/** A bound above all revisions. */
const ALL_REVISIONS: Revision = 1n << 62n;
const EVERYTHING: KeyRange = { start: Buffer.alloc(0), end: null, single: false };

/**
 * The topology in force, the databases of its rules and the keyspace over them. It changes the topology while requests go on, as long as no
 * key has to move for it. What is in force is recorded in the default database before it takes effect.
 */
export class TopologyManager {
  #topology: Topology;
  #version: string;
  #former: readonly FormerTopology[] = [];
  /** Backends whose keys may be lost, with how many there were. */
  readonly #abandoned = new Map<string, number>();
  readonly #identities = new Map<string, string>();
  #changing: Promise<unknown> = Promise.resolve();
  /** The record in the database is not certain to be the one of what is in force. */
  #isRecordStale = false;
  readonly #stopped = new AbortController();

  private constructor(
    private readonly options: TopologyManagerOptions,
    private readonly databases: Databases,
    private readonly main: Database,
    readonly keyspace: Keyspace,
    start: Start,
  ) {
    this.#topology = start.topology;
    this.#version = start.version;
    const { revision } = keyspace.status();
    this.#former = start.former.map((former) => (BigInt(former.until) > revision ? { ...former, until: `${revision}` } : former));
    for (const [name, keys] of Object.entries(start.recorded?.abandoned ?? {})) this.#abandoned.set(name, keys);
    for (const [name, identity] of Object.entries(start.recorded?.identities ?? {})) this.#identities.set(name, identity);
  }

  /**
   * Opens all databases. Throws when the default one cannot be opened, when another router uses one of them, and when the topology that is
   * told would hide keys (PlacementError); nothing has changed then.
   */
  static async open(options: TopologyManagerOptions): Promise<TopologyManager> {
    const databases = new Databases(options.defaults, options.keyspace.log);
    let lease: WriterLease | undefined;
    let keyspace: Keyspace | undefined;
    try {
      const main = await databases.get({ ...options.main, name: MAIN, compaction: {} }, null);
      await main.open();
      let hasWaited = false;
      const onWaiting = (record: WriterRecord): void => {
        hasWaited = true;
        options.writer.onWaiting?.(record);
      };
      lease = await WriterLease.acquire(main, { ...options.writer, onWaiting, log: options.keyspace.log });
      const { startFrom } = options;
      const start = await findStart(options, typeof startFrom === 'function' ? startFrom(hasWaited) : startFrom, databases, main);
      keyspace = await Keyspace.open({
        ...options.keyspace,
        main,
        lease,
        backends: start.backends,
        routing: start.topology,
        former: await formerRoutings(start.former, options, databases),
      });
      if (start.former.some((former) => isLost(former, options.topologyOptions, keyspace?.status().compactRevision ?? 0n))) {
        options.keyspace.log.warn('a database that has gone from the topology is not there any more: watches of the past begin anew');
        await keyspace.compactAll();
      }
      const manager = new TopologyManager(options, databases, main, keyspace, start);
      await manager.#record();
      return manager;
    } catch (error) {
      // What the lease protects has not begun: the next one need not wait for it to run out.
      if (keyspace === undefined) await lease?.release().catch(() => undefined);
      await keyspace?.close();
      await databases.close();
      throw error;
    }
  }

  /** In force. */
  get topology(): Topology {
    return this.#topology;
  }

  /** Of what is in force. */
  get version(): string {
    return this.#version;
  }

  /** What would come of a topology at this moment. Changes nothing. */
  async plan(topology: Topology): Promise<TopologyPlan> {
    const before = this.#topology;
    const changes = topologyChanges(before, topology);
    const problems = await this.#problemsOf(topology);
    const backends = new Map(topology.rules.map(({ name, endpoint }) => [name, this.databases.find(endpoint) ?? null]));
    const verdict = await this.#judged(() =>
      this.keyspace.judgeRouting({
        routing: topology,
        backends,
        affected: affectedRanges(before, topology),
        abandoned: this.#abandonedBackends(before),
      }),
    );
    return { changes, moves: verdict.moves, problems: [...problems, ...verdict.problems] };
  }

  /**
   * Puts a topology in force, or nothing of it. One at a time, in the order of the calls. `version` is what `version` tells from then on; a
   * topology that is in force already is only given its version.
   */
  apply(topology: Topology, version?: string): Promise<{ readonly applied: boolean; readonly plan: TopologyPlan }> {
    return this.#oneByOne(() => this.#apply(topology, version ?? ownVersion(topology)));
  }

  /**
   * Gives up what a backend holds, since its database is lost or not wanted any more: from now on its rule may go. Tells how many keys are
   * given up, as far as they can be counted. Until the rule goes they are served as before.
   */
  abandon(backend: string): Promise<number> {
    return this.#oneByOne(async () => {
      const rule = this.#topology.rules.find(({ name }) => name === backend);
      if (rule === undefined) {
        const names = this.#topology.rules.map(({ name }) => `"${name}"`).join(', ');
        throw new UnknownBackendError(`there is no backend "${backend}" to be abandoned; there are ${names === '' ? 'none' : names}`);
      }
      const database = this.databases.find(rule.endpoint);
      // A lost one does not tell.
      const keys = database?.isOpen === true ? await countOf(database).catch(() => null) : null;
      this.#abandoned.set(backend, keys ?? 0);
      await this.#record();
      return keys ?? 0;
    });
  }

  /** In rule order, the default one last; then those that only answer for the past. */
  async backends(): Promise<BackendReport[]> {
    const topology = this.#topology;
    const statuses = new Map(this.keyspace.backendStatus().map((status) => [status.name, status]));
    const endpoints = new Map(topology.rules.map(({ name, dataSourceName }) => [name, dataSourceName]));
    endpoints.set(MAIN, this.options.topologyOptions.defaultDataSourceName ?? this.main.location);
    const present = topology.registeredNames().map((name) => {
      const rule = topology.rules.find((candidate) => candidate.name === name);
      const backend = rule === undefined ? this.main : this.databases.find(rule.endpoint);
      return report(name, redactEndpoint(endpoints.get(name) ?? ''), statuses.get(name), backend);
    });
    const retired = this.keyspace.retired().map(async ({ name, backend, until }): Promise<BackendReport> => {
      const size = await backend.size().catch(() => null);
      return {
        name,
        endpoint: 'location' in backend ? String(backend.location) : '',
        isReady: size !== null,
        problem: size === null ? 'its database does not answer' : '',
        keys: size === null ? null : 0,
        bytes: size?.inUse ?? null,
        retiredAt: `${until}`,
      };
    });
    return Promise.all([...present, ...retired]);
  }

  /** Ends the keyspace and closes the databases. */
  async close(): Promise<void> {
    this.#stopped.abort();
    try {
      await this.keyspace.close();
      await this.#changing;
    } finally {
      await this.databases.close();
    }
  }

  #oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const changing = this.#changing.then(work);
    this.#changing = changing.catch(() => undefined);
    return changing;
  }

  async #apply(topology: Topology, version: string): Promise<{ applied: boolean; plan: TopologyPlan }> {
    const before = this.#topology;
    const changes = topologyChanges(before, topology);
    const refused = (verdict: RoutingVerdict): { applied: boolean; plan: TopologyPlan } => ({
      applied: false,
      plan: { changes, ...verdict },
    });
    if (this.#isRecordStale && !(await this.#tryToRecord())) {
      return refused({ moves: [], problems: ['the default database does not take the record of the topology'] });
    }
    if (changes.length === 0) {
      this.#topology = topology;
      if (version !== this.#version) {
        this.#version = version;
        await this.#record();
        // The same rules may have come with other certificates.
        await this.#configure(topology.rules.filter(({ tls }) => tls !== null));
      }
      return { applied: true, plan: { changes, moves: [], problems: [] } };
    }
    const problems = await this.#problemsOf(topology);
    if (problems.length > 0) return refused({ moves: [], problems });
    const opened = await this.#open(topology);
    if (opened.problems.length > 0) return refused({ moves: [], problems: opened.problems });
    const affected = affectedRanges(before, topology);
    const isPlaced = affected.length > 0 || before.rules.some(({ endpoint }) => !hasDatabase(topology, endpoint));
    let recording: Promise<void> | undefined;
    let former = this.#former;
    const verdict = await this.#judged(() =>
      this.keyspace.reroute({
        routing: topology,
        backends: opened.backends,
        affected,
        abandoned: this.#abandonedBackends(before),
        record: (until) => {
          if (isPlaced) former = [...this.#former, { ...before.toJSON(), until: `${until}` }];
          recording = this.#save(this.#recordOf(topology, version, former, true));
          return recording;
        },
      }),
    );
    if (verdict.moves.length > 0 || verdict.problems.length > 0) {
      // Nobody knows whether the new record is there; the old one is written again, behind it.
      if (recording !== undefined) await this.#recordLater();
      return refused(verdict);
    }
    this.#topology = topology;
    this.#version = version;
    this.#former = former;
    for (const name of this.#abandoned.keys()) if (!topology.rules.some((rule) => rule.name === name)) this.#abandoned.delete(name);
    await this.#recordLater();
    await this.#configure(topology.rules.filter((rule) => hasOtherSettings(before, rule)));
    return { applied: true, plan: { changes, moves: [], problems: [] } };
  }

  /** What a glance at the databases tells that are not in use yet. */
  async #problemsOf(topology: Topology): Promise<string[]> {
    if (topology.etcdPrefix !== this.#topology.etcdPrefix)
      return [`the keys begin with ${this.#topology.etcdPrefix}/, not with ${topology.etcdPrefix}/`];
    const present = new Set(this.#topology.rules.map(({ endpoint }) => endpointIdentity(endpoint)));
    const identities = new Map([...this.#identities].map(([name, identity]) => [identity, name]));
    const problems = await Promise.all(
      topology.rules.map(async (rule): Promise<string | null> => {
        const { name, endpoint } = rule;
        const place = `backend "${name}": ${endpointLocation(endpoint)}`;
        const identity = endpointIdentity(endpoint);
        if (identity === endpointIdentity(this.options.main.endpoint))
          return `${place} is the default database; name ${anotherOf(endpoint)}`;
        if (present.has(identity) || this.databases.find(endpoint)?.isOpen === true) return null;
        try {
          const found = await this.databases.glance(rule);
          const twin = found.identity === null ? undefined : identities.get(found.identity);
          if (twin !== undefined && this.#isOpen(twin))
            return `${place} is a copy of the database of backend "${twin}"; name ${anotherOf(endpoint)}`;
          if (found.storeId !== null && found.storeId !== this.main.owner)
            return `${place} belongs to the store ${found.storeId}, not to this one (${this.main.owner}); name ${anotherOf(endpoint)}`;
          if (found.keys > 0) return `${place} already holds ${found.keys} keys, of which nobody has heard; name ${emptyOne(endpoint)}`;
          return null;
        } catch (error) {
          return `backend "${name}" cannot be opened: ${messageOf(error)}`;
        }
      }),
    );
    return problems.filter((problem) => problem !== null);
  }

  #isOpen(name: string): boolean {
    const rule = this.#topology.rules.find((candidate) => candidate.name === name);
    return name === MAIN || (rule !== undefined && this.databases.find(rule.endpoint)?.isOpen === true);
  }

  async #open(topology: Topology): Promise<{ readonly backends: ReadonlyMap<string, Database>; readonly problems: readonly string[] }> {
    const backends = new Map<string, Database>();
    const added: Database[] = [];
    const problems: string[] = [];
    for (const rule of topology.rules) {
      const { name, endpoint } = rule;
      const backend = await this.databases.get(rule, null);
      backends.set(name, backend);
      if (backend.isOpen || this.#topology.rules.some((rule) => endpointIdentity(rule.endpoint) === endpointIdentity(endpoint))) continue;
      try {
        await this.databases.configure(rule);
        await backend.open();
        added.push(backend);
      } catch (error) {
        problems.push(`backend "${name}" cannot be opened: ${messageOf(error)}`);
      }
    }
    if (problems.length > 0) await Promise.all(added.map((backend) => backend.close()));
    return { backends, problems };
  }

  /** Backends whose keys need not be found again: those that were given up, and those whose database was never there. */
  #abandonedBackends({ rules }: Topology): Set<Database> {
    const backends = new Set<Database>();
    for (const { name, endpoint } of rules) {
      const backend = this.databases.find(endpoint);
      if (backend === undefined) continue;
      const wasNeverThere = backend.identity === '' && !this.#identities.has(name);
      if (wasNeverThere || this.#abandoned.has(name)) backends.add(backend);
    }
    return backends;
  }

  async #judged(judge: () => Promise<RoutingVerdict>): Promise<RoutingVerdict> {
    try {
      return await judge();
    } catch (error) {
      return { moves: [], problems: [`the change cannot be judged: ${messageOf(error)}`] };
    }
  }

  async #configure(rules: readonly TopologyRule[]): Promise<void> {
    for (const rule of rules) {
      try {
        await this.databases.configure(rule);
      } catch (error) {
        this.options.keyspace.log.warn('new settings of a backend have not taken effect; they do when it is opened again', {
          backend: rule.name,
          error: messageOf(error),
        });
      }
    }
  }

  #recordOf(topology: Topology, version: string, former: readonly FormerTopology[], isUnsettled: boolean): TopologyRecord {
    const identities: Record<string, string> = {};
    const note = (name: string, backend: Database | undefined): void => {
      const identity = backend?.identity === '' || backend === undefined ? this.#identities.get(name) : backend.identity;
      if (identity !== undefined) identities[name] = identity;
    };
    for (const { name, endpoint } of topology.rules) note(name, this.databases.find(endpoint));
    note(MAIN, this.main);
    const { compactRevision } = this.keyspace.status();
    const needed = former.filter(({ until }) => BigInt(until) >= compactRevision);
    const record: TopologyRecord = { ...topology.toJSON(), identities, version, settings: settingsOf(topology), former: needed };
    const abandoned = this.#abandoned.size > 0 ? { abandoned: Object.fromEntries(this.#abandoned) } : {};
    return { ...record, ...abandoned, ...(isUnsettled ? { isUnsettled } : {}) };
  }

  #save(record: TopologyRecord): Promise<void> {
    return this.main.saveAppliedTopology(JSON.stringify(record));
  }

  /** Records what is in force. */
  async #record(): Promise<void> {
    this.#isRecordStale = true;
    const record = this.#recordOf(this.#topology, this.#version, this.#former, false);
    await this.#save(record);
    this.#isRecordStale = false;
    this.#identities.clear();
    for (const [name, identity] of Object.entries(record.identities)) this.#identities.set(name, identity);
  }

  async #tryToRecord(): Promise<boolean> {
    try {
      await this.#record();
      return true;
    } catch (error) {
      this.options.keyspace.log.warn('the topology in force could not be recorded; it is tried again', {
        backend: MAIN,
        error: messageOf(error),
      });
      return false;
    }
  }

  /** Now, and if that fails, again and again without anybody waiting for it. */
  async #recordLater(): Promise<void> {
    if (await this.#tryToRecord()) return;
    void this.#recordAgain();
  }

  async #recordAgain(): Promise<void> {
    while (this.#isRecordStale) {
      await delay(RECORD_RETRY_MS, undefined, { ref: false });
      if (this.#stopped.signal.aborted) return;
      await this.#oneByOne(async () => void (!this.#isRecordStale || (await this.#tryToRecord())));
    }
  }
}

/** Nobody knows a backend of this name. */
export class UnknownBackendError extends Error {
  override readonly name = 'UnknownBackendError';
}

/** What a store begins with. */
interface Start {
  readonly topology: Topology;
  readonly version: string;
  readonly backends: ReadonlyMap<string, Database>;
  readonly former: readonly FormerTopology[];
  readonly recorded: TopologyRecord | null;
}

async function findStart(options: TopologyManagerOptions, startFrom: StartFrom, databases: Databases, main: Database): Promise<Start> {
  const { topologyOptions, keyspace } = options;
  const text = await main.appliedTopology();
  const recorded = text === null ? null : (JSON.parse(text) as TopologyRecord);
  const onProblem = (backend: string, err: Error): void =>
    keyspace.log.warn('backend cannot be opened; it is tried again', { backend, err });
  const candidates = startFrom === 'recorded' ? recordedCandidates(recorded, topologyOptions) : [startFrom];
  for (const [i, { topology, version }] of candidates.entries()) {
    checkDefault(topology, options.main.endpoint);
    try {
      const backends = await openBackends({ databases, main, topology, recorded, topologyOptions, onProblem });
      const former = recorded === null ? [] : formerOf(recorded, topology);
      return { topology, version: version ?? ownVersion(topology), backends, former, recorded };
    } catch (error) {
      if (!(error instanceof PlacementError) || i === candidates.length - 1) throw error;
    }
  }
  throw new Error('there is no topology to start from');
}

/** The topologies that may have been in force last, the likeliest first. */
function recordedCandidates(
  recorded: TopologyRecord | null,
  options: TopologyOptions,
): { readonly topology: Topology; readonly version?: string }[] {
  if (recorded === null) return [{ topology: new Topology([], options) }];
  const { version } = recorded;
  const topology = recordedTopology(recorded, options);
  const last = version === undefined ? { topology } : { topology, version };
  const before = recorded.isUnsettled === true ? recorded.former?.at(-1) : undefined;
  return before === undefined ? [last] : [last, { topology: recordedTopology(before, options) }];
}

/** The topologies that tell where keys were before this one. */
function formerOf(recorded: TopologyRecord, topology: Topology): FormerTopology[] {
  const { etcdPrefix, rules, former = [], isUnsettled = false } = recorded;
  const until = `${ALL_REVISIONS}`;
  const known = former.map((each, i) => (isUnsettled && i === former.length - 1 ? { ...each, until } : each));
  const isSame = JSON.stringify({ etcdPrefix, rules }) === JSON.stringify(topology.toJSON());
  return isSame ? known : [...known, { etcdPrefix, rules, until }];
}

async function formerRoutings(
  former: readonly FormerTopology[],
  { topologyOptions }: TopologyManagerOptions,
  databases: Databases,
): Promise<FormerRouting[]> {
  const routings: FormerRouting[] = [];
  for (const each of former) {
    const routing = recordedTopology(each, topologyOptions);
    if (routing.rules.some(isFileGone)) continue;
    const backends = new Map<string, Database>();
    for (const rule of routing.rules) backends.set(rule.name, await databases.get(rule, null));
    routings.push({ routing, backends, until: BigInt(each.until) });
  }
  return routings;
}

function isLost(former: FormerTopology, options: TopologyOptions, compactRevision: Revision): boolean {
  return BigInt(former.until) >= compactRevision && recordedTopology(former, options).rules.some(isFileGone);
}

/** A server that is away comes back; a file does not. */
function isFileGone({ endpoint }: TopologyRule): boolean {
  return endpoint.scheme === 'sqlite' && !existsSync(endpoint.path);
}

function anotherOf({ scheme }: Endpoint): string {
  return scheme === 'sqlite' ? 'a file of its own' : 'a database of its own';
}

function emptyOne({ scheme }: Endpoint): string {
  return scheme === 'sqlite' ? 'a file without keys' : 'a database without keys';
}

function checkDefault(topology: Topology, endpoint: Endpoint): void {
  const rule = topology.rules.find((candidate) => endpointIdentity(candidate.endpoint) === endpointIdentity(endpoint));
  if (rule !== undefined)
    throw new RefusedDatabaseError(
      `backend "${rule.name}": ${endpointLocation(endpoint)} is the default database; name ${anotherOf(endpoint)} in the topology`,
    );
}

/** The database was there before, and is to be used by other settings. */
function hasOtherSettings(before: Topology, { endpoint, compaction, tls, pool }: TopologyRule): boolean {
  const old = before.rules.find((rule) => endpointIdentity(rule.endpoint) === endpointIdentity(endpoint));
  return old !== undefined && !isDeepStrictEqual([old.endpoint, old.compaction, old.tls, old.pool], [endpoint, compaction, tls, pool]);
}

function hasDatabase({ rules }: Topology, endpoint: Endpoint): boolean {
  return rules.some((rule: TopologyRule) => endpointIdentity(rule.endpoint) === endpointIdentity(endpoint));
}

/** The version of a topology whose documents are not known. */
function ownVersion(topology: Topology): string {
  const settings = settingsOf(topology);
  return topologyVersion([{ name: '', text: JSON.stringify({ ...topology.toJSON(), settings }) }]);
}

async function report(
  name: string,
  endpoint: string,
  status: BackendStatus | undefined,
  backend: Database | undefined,
): Promise<BackendReport> {
  const { isReady = false, problem = 'not opened yet' } = status ?? {};
  const away = { name, endpoint, isReady: false, keys: null, bytes: null };
  if (!isReady || backend === undefined) return { ...away, problem };
  try {
    const [keys, { inUse }] = await Promise.all([countOf(backend), backend.size()]);
    return { name, endpoint, isReady, problem, keys, bytes: inUse };
  } catch (error) {
    return { ...away, problem: messageOf(error) };
  }
}

/** Live keys. Rejects when the database does not tell. */
async function countOf(backend: Database): Promise<number | null> {
  const query = { range: EVERYTHING, revision: 0n, limit: 0, keysOnly: false, countOnly: true, count: true };
  return (await backend.range(query)).count;
}

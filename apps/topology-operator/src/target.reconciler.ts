import {
  type AbandonedData,
  InvalidDeployOrderError,
  pinOf,
  type SecretReference,
  TOPOLOGY_CONFIGS,
  TOPOLOGY_FINALIZER,
  type TopologyConfig,
} from '@harikube/crds';
import { type Clock, ifFound, type Informer, type KubeClient, SECRETS, StatusError } from '@harikube/kube';
import { type Logger, type RouterAdminClient, RouterAdminError } from '@harikube/platform';
import type { EventRecorder, Key, ReconcileContext, Reconciler, Result } from '@harikube/reconcilers';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { type AbandonRequest, abandonRequestsOf, InvalidAbandonError } from './abandon-data.js';
import {
  checkReferencedEndpoints,
  configDocument,
  type ConfigDocument,
  referencesOf,
  type Resolve,
  UnresolvedReferenceError,
} from './config-document.js';
import { conditionsOf, type DeployStatus, type StatusView, type TargetProblem, usageOf, type Verdict, verdictOf } from './config-status.js';
import { type Departure, departureOf } from './departure.js';
import { type MergeConfig, type MergedEntry, mergeTopology, type Refusal } from './merge-topology.js';
import {
  documentKeys,
  entriesOf,
  isAsWanted,
  isOurs,
  mergedSecret,
  type Secret,
  secretTexts,
  type TargetName,
  versionOf,
} from './merged-secret.js';
import type { NamedSecrets } from './named-secrets.js';
import type { OperatorMetrics } from './operator-metrics.js';
import { reportOf, type RouterView, viewOfRouter } from './router-view.js';
import { TopologyJudge } from './topology-judge.js';

const FIELD_MANAGER = 'harikube-topology-operator';

/** While something waits for the router. */
const PENDING_POLL_MS = 1000;
/** While data is in the way, or a target cannot be written. */
const HELD_POLL_MS = 5000;
/** When all is as it is to be. */
const STEADY_POLL_MS = 15_000;
/** What a followed Secret is comes by a watch; that it cannot be read does not. */
const UNKNOWN_POLL_MS = 250;
/** Numbers of keys alone are written no oftener. */
const USAGE_WRITE_MS = 60_000;
/** A backend that was given up and still stands in the way is given up again after so long. */
const ABANDON_AGAIN_MS = 30_000;

export interface TargetReconcilerOptions {
  readonly client: Pick<KubeClient, 'create' | 'get' | 'patch' | 'update'>;
  /** Has the index `target`. */
  readonly configs: Pick<Informer<TopologyConfig>, 'byIndex'>;
  readonly secrets: Pick<NamedSecrets, 'follow' | 'get'>;
  /** Looked after even while no TopologyConfig names them. */
  readonly targets: readonly TargetName[];
  /** Null: there is nobody to ask. */
  readonly router: Pick<RouterAdminClient, 'topology' | 'plan' | 'abandon'> | null;
  readonly events: Pick<EventRecorder, 'normal' | 'warning'>;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
}

/** One run for one target. */
interface Run {
  readonly target: TargetName;
  readonly targetKey: string;
  readonly configs: readonly TopologyConfig[];
  readonly secret: Secret | undefined;
  /** What the Secret holds, as far as it is to be trusted. */
  readonly before: readonly MergedEntry[];
  readonly isTampered: boolean;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

interface Written {
  /** The TopologyConfig as data of it was given up in this run; null: nothing was. */
  readonly written: TopologyConfig | null;
}

/** What was decided about one TopologyConfig. */
interface Decision {
  readonly document: ConfigDocument | Refusal;
  readonly pin: MergeConfig['pin'];
  /** Backends of what is in the Secret, else of the spec. */
  readonly backends: readonly string[];
  /** Data that was given up, in this run or before. */
  readonly abandoned: readonly AbandonedData[];
  /** Why data that was to be given up was not; null: nothing is in the way. */
  readonly abandonProblem: string | null;
}

/**
 * Brings one target Secret to what its TopologyConfigs say, and tells each of them how far it is. A run reads what is there, decides, and writes the Secret
 * once, with the version that it has read; whatever it does not come to is done by the next one.
 */
export class TargetReconciler implements Reconciler {
  readonly #options: TargetReconcilerOptions;
  readonly #judge: TopologyJudge;
  /** By target: what was written or found whole there, for the time when somebody changes or deletes it. */
  readonly #known = new Map<string, readonly MergedEntry[]>();
  /** By uid: when the numbers of keys were last written. */
  readonly #usageWritten = new Map<string, number>();
  /** By target: the documents without a TopologyConfig that were complained of. */
  readonly #toldOrphans = new Map<string, string>();
  /** By uid and backend: when it was last given up. */
  readonly #abandonedAt = new Map<string, number>();

  constructor(options: TargetReconcilerOptions) {
    this.#options = options;
    this.#judge = new TopologyJudge(options.clock);
  }

  async reconcile({ namespace = '', name }: Key, { signal, logger }: ReconcileContext): Promise<Result> {
    const target = { namespace, name };
    const targetKey = `${namespace}/${name}`;
    const { secrets } = this.#options;
    const listed = this.#options.configs.byIndex('target', targetKey);
    const references = listed.flatMap(referencesOf).map(({ namespace, name }) => ({ namespace, name }));
    secrets.follow(target, [target, ...references]);
    const { value: secret, isKnown, problem } = secrets.get(target);
    if (!isKnown || references.some((reference) => !secrets.get(reference).isKnown)) return { requeueAfterMs: UNKNOWN_POLL_MS };
    // A Secret that no TopologyConfig names is left as it is, unless there is something of ours to be taken away.
    if (listed.length === 0 && secret?.metadata.finalizers?.includes(TOPOLOGY_FINALIZER) !== true) {
      this.#forget(target, targetKey);
      return {};
    }
    const configs = await this.#withFinalizers(listed, signal);
    const { before, isTampered } = this.#trusted(targetKey, secret);
    const run: Run = { target, targetKey, configs, secret, before, isTampered, signal, logger };
    const targetProblem = this.#problemOf(run, problem);
    return targetProblem === null ? this.#merge(run) : this.#cannotWrite(run, targetProblem);
  }

  #forget(target: TargetName, targetKey: string): void {
    this.#known.delete(targetKey);
    const isOwn = this.#options.targets.some(({ namespace, name }) => namespace === target.namespace && name === target.name);
    if (!isOwn) this.#options.secrets.follow(target, []);
  }

  /** What cannot be read may be there; what is there may be somebody else's. */
  #problemOf({ targetKey, target, secret }: Run, problem: string | null): TargetProblem | null {
    if (secret === undefined) {
      const isMissing = this.#options.secrets.get(target).isMissing;
      return isMissing ? null : { reason: 'TargetNotReady', message: problem ?? `the Secret ${targetKey} is not read yet` };
    }
    if (this.#known.has(targetKey) || isOurs(secret)) return null;
    const message = `the Secret ${targetKey} holds what no operator has made, and stays as it is; choose another target, or delete it when its rules are in TopologyConfigs`;
    return { reason: 'TargetConflict', message };
  }

  /** Before anything is done for an object: what is done is undone by it. */
  async #withFinalizers(configs: readonly TopologyConfig[], signal: AbortSignal): Promise<TopologyConfig[]> {
    return Promise.all(
      configs.map((config) => {
        const { finalizers = [], deletionTimestamp } = config.metadata;
        if (deletionTimestamp !== undefined || finalizers.includes(TOPOLOGY_FINALIZER)) return config;
        return this.#setFinalizers(config, [...finalizers, TOPOLOGY_FINALIZER], signal);
      }),
    );
  }

  #setFinalizers({ metadata }: TopologyConfig, finalizers: string[], signal: AbortSignal): Promise<TopologyConfig> {
    const { name = '', namespace, uid, resourceVersion } = metadata;
    const patch = { metadata: { uid, resourceVersion, finalizers } };
    return this.#options.client.patch(TOPOLOGY_CONFIGS, name, namespace, patch, { type: 'merge', fieldManager: FIELD_MANAGER, signal });
  }

  /** Of a Secret that somebody has changed or deleted, what this process knows of it is believed. */
  #trusted(targetKey: string, secret: Secret | undefined): { before: readonly MergedEntry[]; isTampered: boolean } {
    const known = this.#known.get(targetKey);
    if (secret === undefined) return { before: known ?? [], isTampered: true };
    const { entries, tampered } = entriesOf(secret);
    const isWhole = !tampered && Object.keys(secret.data ?? {}).length === secretTexts(entries).size;
    return isWhole ? { before: entries, isTampered: false } : { before: known ?? entries, isTampered: true };
  }

  async #merge(given: Run): Promise<Result> {
    const { target, targetKey, configs, secret, signal } = given;
    const { client, router: admin, metrics } = this.#options;
    let router = await viewOfRouter(admin, target, signal);
    const before = withoutRefused(given.before, router);
    let run: Run = { ...given, before };
    metrics.reachable(targetKey, router.kind === 'seen');
    // A cache may be behind: whose object is not in it may be there.
    for (const { uid, key } of before) {
      if (configs.some(({ metadata }) => metadata.uid === uid)) continue;
      const [namespace, name = ''] = key.split('/');
      const found = await ifFound(client.get(TOPOLOGY_CONFIGS, name, namespace, { signal }));
      const isOfTarget = found?.spec.targetSecret === targetKey;
      if (isOfTarget && !configs.some(({ metadata }) => metadata.uid === found.metadata.uid)) return { requeueAfterMs: UNKNOWN_POLL_MS };
    }
    const decisions = new Map<string, Decision>();
    const written = new Map<string, TopologyConfig>();
    for (const config of configs) {
      const decided = await this.#decide(run, config, router);
      if (decided.written !== null) written.set(uidOf(config), decided.written);
      decisions.set(uidOf(config), decided);
    }
    if (written.size > 0) {
      run = { ...run, configs: configs.map((config) => writtenOf(config, written)) };
      this.#judge.forget();
      router = await viewOfRouter(admin, target, signal);
    }
    const departures = this.#departures(run, decisions, before, router);
    const judged = new Map<string, Promise<Refusal | null>>();
    const judge = (entries: readonly MergedEntry[]): Promise<Refusal | null> => {
      const version = versionOf(secretTexts(entries));
      const known = judged.get(version) ?? this.#judgeBy(router, entries, signal);
      judged.set(version, known);
      return known;
    };
    const merge = await mergeTopology({
      configs: configs.map((config) => mergeConfig(config, decisions, departures, before)),
      before,
      judge,
    });
    let { entries } = merge;
    const refusals = new Map(merge.refusals);
    // What a Secret that somebody has changed comes to was not judged as a whole; what this process has written there was.
    const refusal = run.isTampered && !this.#isKnown(targetKey, entries) ? await judge(entries) : null;
    if (refusal !== null) {
      entries = before;
      for (const config of configs) if (!refusals.has(uidOf(config))) refusals.set(uidOf(config), refusal);
    }
    const problem = refusal === null ? await this.#write(run, entries) : null;
    if (problem !== null) return this.#cannotWrite(run, problem);
    this.#tellOrphans(run, orphansOf(configs, entries), refusals);
    if (configs.length === 0 && secret === undefined) return {};
    return this.#tell(run, { entries, refusals, decisions, router });
  }

  /** A document whose TopologyConfig is gone has no status to say why it stays. */
  #tellOrphans({ targetKey, logger }: Run, orphans: readonly MergedEntry[], refusals: ReadonlyMap<string, Refusal>): void {
    const keys = orphans.map(({ key }) => key).join(' ');
    if (keys !== (this.#toldOrphans.get(targetKey) ?? '')) {
      for (const { key, uid } of orphans)
        logger.warn('a document stays although its TopologyConfig is gone', { topologyConfig: key, reason: refusals.get(uid)?.message });
      this.#toldOrphans.set(targetKey, keys);
    }
    this.#options.metrics.orphans(targetKey, orphans.length);
  }

  #isKnown(targetKey: string, entries: readonly MergedEntry[]): boolean {
    const known = this.#known.get(targetKey);
    return known !== undefined && versionOf(secretTexts(known)) === versionOf(secretTexts(entries));
  }

  /** What a TopologyConfig says, and what is given up for it. */
  async #decide(run: Run, config: TopologyConfig, router: RouterView): Promise<Decision & Written> {
    let document: ConfigDocument | Refusal;
    let pin: MergeConfig['pin'] = 'as-before';
    try {
      pin = pinOf(config);
      const resolve: Resolve = (reference) => this.#resolve(reference);
      checkReferencedEndpoints(config, resolve);
      document = configDocument(config, resolve);
    } catch (error) {
      if (error instanceof InvalidDeployOrderError) document = { reason: 'InvalidDeployOrder', message: error.message };
      else if (error instanceof UnresolvedReferenceError) document = { reason: 'SecretNotReady', message: error.message };
      else throw error;
    }
    const entry = entryOf(config, run.before);
    const specified = config.spec.backends.map(({ name }) => name);
    const backends = entry === undefined ? specified : backendsIn(entry.document);
    // Of an object that stays, the backends that its spec does not name any more.
    const isLeaving = config.metadata.deletionTimestamp !== undefined;
    const isGoing = (backend: string): boolean => isLeaving || (!('reason' in document) && !specified.includes(backend));
    // Whoever names a backend of another object gives nothing of it up.
    const elsewhere = backendsBeside(entry, run.before);
    const going = backends.filter((backend) => isGoing(backend) && !elsewhere.has(backend));
    const { abandoned, problem, written } = await this.#abandon(run, config, going, router);
    return { document, pin, backends, abandoned, abandonProblem: problem, written };
  }

  #resolve({ namespace, name, key }: SecretReference): Buffer {
    const { value, problem } = this.#options.secrets.get({ namespace, name });
    if (value === undefined) throw new UnresolvedReferenceError(problem ?? `the Secret ${namespace}/${name} is not read yet`);
    const data = value.data ?? {};
    const text = Object.hasOwn(data, key) ? data[key] : undefined;
    if (text === undefined) throw new UnresolvedReferenceError(`the Secret ${namespace}/${name} has no key "${key}"`);
    return Buffer.from(text, 'base64');
  }

  async #abandon(
    { targetKey, signal }: Run,
    config: TopologyConfig,
    going: readonly string[],
    router: RouterView,
  ): Promise<{ abandoned: readonly AbandonedData[]; problem: string | null } & Written> {
    const before = config.status?.abandoned ?? [];
    let requests: readonly AbandonRequest[];
    try {
      requests = abandonRequestsOf(config).filter(({ backend }) => going.includes(backend));
    } catch (error) {
      if (!(error instanceof InvalidAbandonError)) throw error;
      return { abandoned: before, problem: error.message, written: null };
    }
    const { router: admin, clock, metrics, events } = this.#options;
    const found = new Map(before.map((one) => [one.name, one]));
    let problem: string | null = null;
    let hasAbandoned = false;
    for (const { backend, keys } of requests) {
      const report = router.kind === 'seen' ? reportOf(router.state, backend) : undefined;
      if (admin === null || report === undefined || report.keys === 0) continue;
      const mark = `${uidOf(config)}/${backend}`;
      const last = this.#abandonedAt.get(mark);
      if (last !== undefined && clock.monotonic() - last < ABANDON_AGAIN_MS) continue;
      try {
        const result = await admin.abandon({ backend, confirm: report.keys === null ? null : (keys ?? report.keys) }, signal);
        this.#abandonedAt.set(mark, clock.monotonic());
        found.set(backend, { name: backend, keys: result.keys, time: timeText(clock) });
        hasAbandoned = true;
        metrics.abandoned(targetKey, result.keys);
        events.warning(config, 'DataAbandoned', 'Abandon', `${result.keys} keys of the backend "${backend}" were given up`);
      } catch (error) {
        if (!(error instanceof RouterAdminError)) throw error;
        problem = `the data of "${backend}" was not given up: ${error.message}`;
      }
    }
    const abandoned = hasAbandoned ? [...found.values()] : before;
    // Before the rules go, since nothing else tells afterwards how much was lost; whatever version the object has by now.
    const written = hasAbandoned ? ((await this.#patchStatus(config, { abandoned }, signal)) ?? config) : null;
    return { abandoned, problem, written };
  }

  #departures(
    { configs }: Run,
    decisions: ReadonlyMap<string, Decision>,
    entries: readonly MergedEntry[],
    router: RouterView,
  ): Map<string, Departure> {
    const version = versionOf(secretTexts(entries));
    const departures = new Map<string, Departure>();
    for (const config of configs) {
      const decision = decisions.get(uidOf(config));
      if (config.metadata.deletionTimestamp === undefined || decision === undefined) continue;
      const entry = entryOf(config, entries);
      const departure = departureOf({
        backends: decision.backends,
        isMerged: entry !== undefined,
        wasMerged: config.status?.deployOrder !== undefined,
        isConfirmed: router.kind === 'seen' && router.state.version === version,
        // What is not asked for any more is not given up.
        abandoned: new Set(
          requestedOf(config).filter((name) => router.kind === 'none' || decision.abandoned.some((one) => one.name === name)),
        ),
        elsewhere: backendsBeside(entry, entries),
        router,
      });
      const { abandonProblem } = decision;
      const isHeld = departure.do === 'hold' && abandonProblem !== null;
      departures.set(uidOf(config), isHeld ? { do: 'hold', message: `${abandonProblem}; ${departure.message}` } : departure);
    }
    return departures;
  }

  #judgeBy(router: RouterView, entries: readonly MergedEntry[], signal: AbortSignal): Promise<Refusal | null> {
    if (router.kind === 'unreachable') return Promise.resolve({ reason: 'RouterUnreachable', message: router.message });
    if (router.kind === 'none') return this.#judge.judge(entries, null, signal);
    // What is in force can be put where it belongs.
    if (router.state.version === versionOf(secretTexts(entries))) return Promise.resolve(null);
    return this.#judge.judge(entries, this.#options.router, signal);
  }

  /** Null: the Secret holds the entries. Conflicts are thrown, and end the run. */
  async #write(
    { target, targetKey, configs, secret, isTampered, signal }: Run,
    entries: readonly MergedEntry[],
  ): Promise<TargetProblem | null> {
    const { client, metrics, events } = this.#options;
    const options = { fieldManager: FIELD_MANAGER, signal };
    const known = this.#known.get(targetKey);
    const isRestored = isTampered && known !== undefined;
    const isDeleted = secret?.metadata.deletionTimestamp !== undefined;
    const current = isDeleted ? undefined : secret;
    try {
      if (isDeleted) {
        const { uid, resourceVersion, finalizers = [] } = secret.metadata;
        const patch = { metadata: { uid, resourceVersion, finalizers: finalizers.filter((one) => one !== TOPOLOGY_FINALIZER) } };
        await ifFound(client.patch(SECRETS, target.name, target.namespace, patch, { type: 'merge', ...options }));
      }
      if (current === undefined) {
        if (entries.length === 0 && configs.length === 0) {
          this.#known.delete(targetKey);
          return null;
        }
        await client.create<Secret>(SECRETS, mergedSecret(target, entries, undefined), options);
      } else {
        const wanted = mergedSecret(target, entries, current);
        if (isAsWanted(current, wanted)) {
          this.#known.set(targetKey, entries);
          return null;
        }
        await client.update<Secret>(SECRETS, wanted, options);
      }
    } catch (error) {
      if (!(error instanceof StatusError) || error.isConflict || error.isAlreadyExists || error.code >= 500) throw error;
      const remedy = error.isForbidden ? '; give the account of the operator a Role there that allows create, and update of this name' : '';
      return { reason: 'TargetNotReady', message: `the Secret ${targetKey} cannot be written: ${error.message}${remedy}` };
    }
    this.#known.set(targetKey, entries);
    metrics.written(targetKey, isRestored ? 'restored' : 'changed');
    if (isRestored) {
      const object = secret ?? { apiVersion: 'v1', kind: 'Secret', metadata: { ...target } };
      events.warning(
        { ...object, apiVersion: 'v1', kind: 'Secret' },
        'Restored',
        'Merge',
        'the Secret was changed by somebody else; it is again what the TopologyConfigs say',
      );
    }
    return null;
  }

  async #cannotWrite(run: Run, targetProblem: TargetProblem): Promise<Result> {
    const { configs, before, signal } = run;
    const router = await viewOfRouter(this.#options.router, run.target, signal);
    const held = heldBy(before);
    const statuses: DeployStatus[] = [];
    for (const config of configs) {
      const entry = entryOf(config, before);
      const backends = entry === undefined ? config.spec.backends.map(({ name }) => name) : backendsIn(entry.document);
      const departure = this.#withoutTarget(config, targetProblem);
      if (departure?.do === 'release') {
        await this.#release(config, signal);
        continue;
      }
      const view: StatusView = { ...statusView(run, config, held), targetProblem, refusal: null, departure, router, backends };
      statuses.push(await this.#say(config, view, signal));
    }
    this.#options.metrics.configs(run.targetKey, statuses);
    return { requeueAfterMs: HELD_POLL_MS };
  }

  /** An object that was never merged leaves nothing behind. */
  #withoutTarget({ metadata, status }: TopologyConfig, { message }: TargetProblem): Departure | null {
    if (metadata.deletionTimestamp === undefined) return null;
    return status?.deployOrder === undefined ? { do: 'release' } : { do: 'hold', message };
  }

  async #tell(
    run: Run,
    {
      entries,
      refusals,
      decisions,
      router,
    }: {
      readonly entries: readonly MergedEntry[];
      readonly refusals: ReadonlyMap<string, Refusal>;
      readonly decisions: ReadonlyMap<string, Decision>;
      readonly router: RouterView;
    },
  ): Promise<Result> {
    const departures = this.#departures(run, decisions, entries, router);
    const held = heldBy(entries);
    const statuses: DeployStatus[] = [];
    let isUnreachable = false;
    for (const config of run.configs) {
      const uid = uidOf(config);
      const departure = departures.get(uid) ?? null;
      if (departure?.do === 'release') {
        await this.#release(config, run.signal);
        continue;
      }
      const backends = decisions.get(uid)?.backends ?? [];
      const refusal = refusals.get(uid) ?? null;
      isUnreachable ||= refusal?.reason === 'RouterUnreachable';
      const view: StatusView = { ...statusView(run, config, held), targetProblem: null, refusal, departure, router, backends };
      statuses.push(await this.#say(config, view, run.signal));
    }
    this.#options.metrics.configs(run.targetKey, statuses);
    if (isUnreachable || (router.kind !== 'none' && statuses.includes('Pending'))) return { requeueAfterMs: PENDING_POLL_MS };
    if (statuses.includes('Held')) return { requeueAfterMs: HELD_POLL_MS };
    return router.kind === 'none' ? {} : { requeueAfterMs: STEADY_POLL_MS };
  }

  async #release(config: TopologyConfig, signal: AbortSignal): Promise<void> {
    const { finalizers = [] } = config.metadata;
    if (!finalizers.includes(TOPOLOGY_FINALIZER)) return;
    await ifFound(
      this.#setFinalizers(
        config,
        finalizers.filter((one) => one !== TOPOLOGY_FINALIZER),
        signal,
      ),
    );
    const uid = uidOf(config);
    this.#usageWritten.delete(uid);
    for (const mark of this.#abandonedAt.keys()) if (mark.startsWith(`${uid}/`)) this.#abandonedAt.delete(mark);
  }

  async #say(config: TopologyConfig, view: StatusView, signal: AbortSignal): Promise<DeployStatus> {
    const verdict = verdictOf(view);
    const { clock } = this.#options;
    const { status = { deployStatus: 'Pending' as const } } = config;
    const reason = verdict.deployStatusReason;
    const conditions = conditionsOf(config, verdict, new Date(clock.now()));
    const order = view.entry?.order ?? status.deployOrder;
    const isSaid =
      conditions === status.conditions &&
      status.deployOrder === order &&
      status.deployStatus === verdict.deployStatus &&
      (status.deployStatusReason ?? '') === reason &&
      status.observedGeneration === config.metadata.generation;
    const usage = usageOf(view) ?? status.backends;
    const isUsageDue = !isDeepStrictEqual(usage, status.backends) && this.#isUsageDue(config);
    if (isSaid && !isUsageDue) return verdict.deployStatus;
    // As it was read: a cache that is behind what this process has written would say it once more, with a later time.
    const { resourceVersion } = config.metadata;
    await this.#patchStatus(
      config,
      {
        deployOrder: order,
        deployStatus: verdict.deployStatus,
        deployStatusReason: reason === '' ? null : reason,
        observedGeneration: config.metadata.generation,
        conditions,
        backends: usage,
      },
      signal,
      resourceVersion,
    );
    this.#usageWritten.set(uidOf(config), clock.monotonic());
    this.#report(config, verdict);
    return verdict.deployStatus;
  }

  #isUsageDue(config: TopologyConfig): boolean {
    const last = this.#usageWritten.get(uidOf(config));
    return (
      config.metadata.deletionTimestamp !== undefined || last === undefined || this.#options.clock.monotonic() - last >= USAGE_WRITE_MS
    );
  }

  /** Of a version that is not given: whichever it has. Null: it is gone. */
  async #patchStatus(
    config: TopologyConfig,
    status: object,
    signal: AbortSignal,
    resourceVersion?: string,
  ): Promise<TopologyConfig | null> {
    const { name = '', namespace, uid } = config.metadata;
    const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER, signal } as const;
    const patch = { metadata: { uid, resourceVersion }, status };
    return ifFound(this.#options.client.patch(TOPOLOGY_CONFIGS, name, namespace, patch, options));
  }

  /** Tells what is news; numbers in a sentence are none. */
  #report(config: TopologyConfig, { deployStatus, deployStatusReason, merged, active }: Verdict): void {
    const { events } = this.#options;
    const before = config.status;
    const reasonOf = (type: string): string | undefined => before?.conditions?.find((condition) => condition.type === type)?.reason;
    const isNews = before?.deployStatus !== deployStatus || reasonOf('Merged') !== merged.reason;
    if (!isNews || deployStatus === 'Pending') return;
    if (deployStatus === 'Active') events.normal(config, 'Active', 'Merge', active.message);
    else
      events.warning(
        config,
        deployStatus === 'Held' ? 'Held' : merged.status === 'True' ? active.reason : merged.reason,
        'Merge',
        deployStatusReason,
      );
  }
}

/**
 * What the Secret holds without what the router has refused after all, since keys came between its plan and its attempt: the documents that are not in
 * force are judged anew, so that the others do not wait for them.
 */
function withoutRefused(entries: readonly MergedEntry[], router: RouterView): readonly MergedEntry[] {
  if (router.kind !== 'seen' || router.state.error?.version !== versionOf(secretTexts(entries))) return entries;
  const { state } = router;
  return entries.filter(({ document }) => backendsIn(document).every((backend) => reportOf(state, backend) !== undefined));
}

/** What the Secret holds, worked out once for all who are told. */
interface Held {
  readonly entries: readonly MergedEntry[];
  readonly keys: ReadonlyMap<MergedEntry, string>;
  readonly version: string;
}

function heldBy(entries: readonly MergedEntry[]): Held {
  const keys = new Map([...documentKeys(entries)].map(([key, entry]) => [entry, key]));
  return { entries, keys, version: versionOf(secretTexts(entries)) };
}

function statusView(
  { targetKey }: Run,
  config: TopologyConfig,
  { entries, keys, version }: Held,
): Pick<StatusView, 'config' | 'target' | 'entry' | 'version'> {
  const entry = entryOf(config, entries);
  return { config, target: targetKey, entry: entry === undefined ? undefined : { ...entry, key: keys.get(entry) ?? '' }, version };
}

function mergeConfig(
  config: TopologyConfig,
  decisions: ReadonlyMap<string, Decision>,
  departures: ReadonlyMap<string, Departure>,
  before: readonly MergedEntry[],
): MergeConfig {
  const { namespace = '', name = '', generation = 0, creationTimestamp = '' } = config.metadata;
  const uid = uidOf(config);
  const decision = decisions.get(uid);
  if (decision === undefined) throw new Error(`nothing was decided about ${namespace}/${name}`);
  const departure = departures.get(uid);
  const kept = entryOf(config, before) === undefined ? 'present' : 'keep';
  const wish = departure === undefined ? 'present' : departure.do === 'hold' ? kept : 'gone';
  return { uid, key: `${namespace}/${name}`, generation, created: creationTimestamp, pin: decision.pin, wish, document: decision.document };
}

/** By its uid, or left by one of the same name that is gone. */
function entryOf({ metadata: { uid, namespace, name } }: TopologyConfig, entries: readonly MergedEntry[]): MergedEntry | undefined {
  return entries.find((entry) => entry.uid === uid) ?? entries.find(({ key }) => key === `${namespace}/${name}`);
}

/** As it is since data of it was given up; what it was decided on, when it says something else since then: that cannot be told of it, and the run ends there. */
function writtenOf(config: TopologyConfig, written: ReadonlyMap<string, TopologyConfig>): TopologyConfig {
  const found = written.get(uidOf(config));
  return found !== undefined && found.metadata.generation === config.metadata.generation ? found : config;
}

function orphansOf(configs: readonly TopologyConfig[], entries: readonly MergedEntry[]): MergedEntry[] {
  const alive = new Set(configs.map(uidOf));
  return entries.filter(({ uid }) => !alive.has(uid));
}

/** Backends of all the others. */
function backendsBeside(entry: MergedEntry | undefined, entries: readonly MergedEntry[]): Set<string> {
  return new Set(entries.filter((other) => other !== entry).flatMap(({ document }) => backendsIn(document)));
}

/** Names of the backends in a document that was made, and judged, as one. */
function backendsIn({ text }: ConfigDocument): string[] {
  const { backends = [] } = (parse(text) ?? {}) as { readonly backends?: readonly { readonly name?: unknown }[] };
  return backends.map(({ name }) => String(name));
}

/** What may be lost, of an annotation that can be read. */
function requestedOf(config: TopologyConfig): string[] {
  try {
    return abandonRequestsOf(config).map(({ backend }) => backend);
  } catch (error) {
    if (error instanceof InvalidAbandonError) return [];
    throw error;
  }
}

function uidOf({ metadata }: TopologyConfig): string {
  return metadata.uid ?? '';
}

function timeText(clock: Clock): string {
  return new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
}

import { isNativeError } from 'node:util/types';
import {
  parseTopologyDocuments,
  type ParseTopologyOptions,
  TopologyError,
  type TopologyManager,
  type TopologyMove,
  type TopologyPlan,
  topologyVersion,
} from '@harikube/datasources';
import type { Logger, RouterTopologyFailure } from '@harikube/platform';
import { type TlsFolder, withoutTlsMaterial } from './tls-folder.js';
import type { ReloadResult, TopologyMetrics } from './topology-metrics.js';
import type { TopologyReading } from './topology-watcher.js';

/** What puts a topology in force: the part of the manager that the loop works with. */
export type TopologyTarget = Pick<TopologyManager, 'topology' | 'version' | 'apply'>;

export interface TopologyReloaderOptions {
  readonly target: TopologyTarget;
  /** The source as messages name it. */
  readonly sourceName: string;
  readonly parse: ParseTopologyOptions;
  /** Null: the source brings no certificates. */
  readonly tlsFolder: TlsFolder | null;
  readonly metrics: TopologyMetrics;
  readonly logger: Logger;
  /** Of what the source held at the start; null: it was not read. */
  readonly sourceVersion: string | null;
  readonly now?: () => Date;
  /** When what cannot be applied is tried again. */
  readonly retryMs?: number;
}

const RETRY_MS = 30_000;
/** Complaints that are kept apart; a source that finds more to complain of is heard again. */
const MAX_COMPLAINTS = 100;

interface Task {
  readonly reading: TopologyReading;
  readonly isRetry: boolean;
}

type ReadReading = Extract<TopologyReading, { readonly type: 'read' }>;

/** What an attempt came to that put nothing in force. */
interface Setback {
  readonly result: Exclude<ReloadResult, 'success'>;
  readonly message: string;
  readonly moves: readonly TopologyMove[];
}

/**
 * The one loop by which a topology comes into force: read, parse, apply; one at a time, and always what was read last. A topology
 * that cannot be used is refused as a whole, and the one in force stays. What something else stands in the way of is tried again.
 */
export class TopologyReloader {
  readonly #options: Required<TopologyReloaderOptions>;
  #next: Task | null = null;
  /** What was read last. */
  #last: TopologyReading | null = null;
  #turning: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;
  #sourceVersion: string | null;
  #inForceSince: Date;
  #failure: RouterTopologyFailure | null = null;
  /** What was complained of since something came into force: each is said once. */
  readonly #complaints = new Set<string>();

  constructor({ now = () => new Date(), retryMs = RETRY_MS, ...options }: TopologyReloaderOptions) {
    this.#options = { ...options, now, retryMs };
    this.#sourceVersion = options.sourceVersion;
    this.#inForceSince = now();
    options.metrics.inForce(options.target.version);
  }

  /** Of what the source held when it was read last; null: it has not been read yet. */
  get sourceVersion(): string | null {
    return this.#sourceVersion;
  }

  get inForceSince(): Date {
    return this.#inForceSince;
  }

  /** Null: what the source holds is in force, or it has not been read yet. */
  get failure(): RouterTopologyFailure | null {
    return this.#failure;
  }

  /** Takes what the source says. To say the same again changes nothing; of several that come meanwhile only the last one counts. */
  take(reading: TopologyReading): void {
    this.#add({ reading, isRetry: false });
  }

  /** Tries at once what is not in force: what stood in its way may be gone. */
  retry(): void {
    if (this.#failure !== null && this.#last !== null && this.#next === null) this.#add({ reading: this.#last, isRetry: true });
  }

  /** Resolves when everything that was taken is in force or refused. */
  async settled(): Promise<void> {
    while (this.#turning !== null) await this.#turning;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#next = null;
    this.#cancelRetry();
    await this.settled();
  }

  #add(task: Task): void {
    if (this.#isClosed) return;
    this.#next = task;
    if (this.#turning === null) this.#turn();
  }

  #turn(): void {
    this.#turning = this.#takeAll().finally(() => {
      this.#turning = null;
      // It may have come between the last look and this.
      if (this.#next !== null) this.#turn();
    });
  }

  async #takeAll(): Promise<void> {
    for (let task = this.#next; task !== null; task = this.#next) {
      this.#next = null;
      const { reading, isRetry } = task;
      if (!isRetry && this.#isKnown(reading)) continue;
      this.#last = reading;
      this.#cancelRetry();
      if (reading.type === 'read') await this.#takeTopology(reading);
      else this.#failed(null, { result: 'unreadable', message: reading.reason, moves: [] });
    }
  }

  /** What a source says again and again is taken once; a text that was refused is not asked for another time. */
  #isKnown(reading: TopologyReading): boolean {
    if (reading.type === 'unreadable') return this.#failure?.version === null && this.#failure.message === reading.reason;
    const version = topologyVersion(reading.documents);
    if (this.#failure !== null) return this.#failure.version === version;
    // Of what was in force at the start it is not known whether its certificates are there.
    return this.#last !== null && this.#options.target.version === version;
  }

  async #takeTopology({ documents }: ReadReading): Promise<void> {
    const version = topologyVersion(documents);
    this.#sourceVersion = version;
    const setback = await this.#apply(documents, version);
    if (setback !== null) {
      this.#failed(version, setback);
      return;
    }
    const { metrics, logger, sourceName, now } = this.#options;
    if (this.#failure !== null) logger.info('the topology that the source holds is in force', { source: sourceName, version });
    this.#failure = null;
    this.#complaints.clear();
    metrics.inForce(version);
    metrics.reloaded('success', 0, now());
  }

  /** Null: it is in force. */
  async #apply(documents: ReadReading['documents'], version: string): Promise<Setback | null> {
    const { target, parse, sourceName, tlsFolder, logger, now } = this.#options;
    const parts = tlsFolder === null ? { documents, material: [] } : withoutTlsMaterial(documents);
    try {
      const topology = parseTopologyDocuments(
        parts.documents.map(({ name, text }) => ({ name: name === '' ? sourceName : name, text })),
        parse,
      );
      await tlsFolder?.write(parts.material);
      const { applied, plan } = await target.apply(topology, version);
      if (!applied) return setbackOf(plan);
      await tlsFolder?.keepOnly(parts.material).catch((err: unknown) => {
        logger.warn('certificates that no rule needs any more cannot be removed', { folder: tlsFolder.path, err });
      });
      if (plan.changes.length === 0) return null;
      this.#inForceSince = now();
      const changes = plan.changes.map(({ kind, backend }) => `${kind} ${backend}`);
      logger.info(`Backends registered: [${target.topology.registeredNames().join(' ')}]`, { source: sourceName, version, changes });
      for (const { name, setting } of topology.withoutEffect()) {
        logger.warn('setting of a backend has no effect on this database', { backend: name, setting });
      }
      return null;
    } catch (error) {
      const isRefused = error instanceof TopologyError;
      return { result: isRefused ? 'refused' : 'failed', message: isNativeError(error) ? error.message : String(error), moves: [] };
    }
  }

  #failed(version: string | null, { result, message, moves }: Setback): void {
    const { metrics, logger, sourceName, now, retryMs } = this.#options;
    const time = now();
    metrics.reloaded(result, sum(moves.map(({ keys }) => keys)), time);
    const isSame = this.#failure?.version === version && this.#failure.message === message;
    if (!isSame) this.#failure = { time: time.toISOString(), message, version, moves };
    // How many keys are in the way differs at each attempt, and what is wrong with a text does not.
    const complaint = `${result} ${version ?? message}`;
    if (!this.#complaints.has(complaint)) {
      logger.error(COMPLAINTS[result], { source: sourceName, version: version ?? undefined, reason: message });
      if (this.#complaints.size >= MAX_COMPLAINTS) this.#complaints.clear();
      this.#complaints.add(complaint);
    }
    if (result !== 'held_back' && result !== 'failed') return;
    this.#timer = setTimeout(() => this.retry(), retryMs).unref();
  }

  #cancelRetry(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

const COMPLAINTS: Readonly<Record<Setback['result'], string>> = {
  refused: 'the topology is refused, the one in force stays',
  held_back: 'the topology is held back by keys that would have to move, the one in force stays; it is tried again',
  failed: 'the topology cannot be put in force, the one in force stays; it is tried again',
  unreadable: 'the topology cannot be read, the one in force stays',
};

function setbackOf({ moves, problems }: TopologyPlan): Setback {
  const sentences = [...problems, ...moves.map(moveSentence)];
  return { result: problems.length > 0 ? 'failed' : 'held_back', message: sentences.join('; '), moves };
}

function moveSentence({ from, to, keys, bytes, example }: TopologyMove): string {
  const [count, verb] = keys === 1 ? ['1 key', 'belongs'] : [`${keys} keys`, 'belong'];
  return `${count} (${bytes} bytes) in backend "${from}" ${verb} to "${to}" by these rules, for example ${example}`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

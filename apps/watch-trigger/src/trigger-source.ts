import type { HTTPTrigger } from '@harikube/crds';
import { type Clock, type KubeClient, type KubeList, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import { type Cursor, CursorTracker } from './cursor-tracker.js';
import { foundChange, type FoundChange, inOrder } from './gap.js';
import { positionOf } from './position.js';
import { wasQuiet } from './quiet-history.js';
import { reasonOf, untilDone } from './retrying.js';
import type { SharedWatches, Subscription } from './shared-watch.js';
import { type Problem, watchProblem } from './trigger-conditions.js';
import type { Change, WatchTarget } from './watch-loop.js';

const PAGE_SIZE = 500;

/** The kind is served no longer, or otherwise. */
export class KindGoneError extends Error {
  override readonly name = 'KindGoneError';
}

/** Changes that the server does not know any more. */
export interface Gap {
  readonly since: Cursor;
  readonly revision: bigint;
  readonly reason: Error;
  /** How many of the objects that are there have changed meanwhile. */
  readonly objects: number;
}

export interface TriggerSourceOptions {
  readonly spec: HTTPTrigger['spec'];
  /** Undefined: all of them. */
  readonly namespace: string | undefined;
  /** Where it goes on; null: nowhere yet. */
  readonly cursor: Cursor | null;
  readonly client: Pick<KubeClient, 'list'>;
  readonly watches: Pick<SharedWatches, 'subscribe'>;
  readonly clock: Clock;
  readonly random: () => number;
  /** A change that a watch has told, before the source's position passes it. */
  readonly onChange: (change: Change) => void;
  /** An object that a list has shown, before the source's position passes it. Waits until another event may come. */
  readonly onListed: (change: FoundChange, found: 'initially' | 'after a gap', signal: AbortSignal) => Promise<void>;
  readonly onGap: (gap: Gap) => void;
  /** The position has moved; `idle`: past nothing that the trigger is told. */
  readonly onMoved: (urgency: 'idle' | 'moved') => void;
  /** The position has gone back: the server counts anew. */
  readonly onReset: () => void;
  /** `isFollowing` or `trouble` is another one. */
  readonly onState: () => void;
}

/** What a trigger is told of: the objects of one namespace, or of all, and their changes, without a loss as long as the server knows them. */
export class TriggerSource {
  readonly tracker: CursorTracker;
  #subscription: Subscription | null = null;
  #isFollowing = false;
  #isPaused = false;
  #trouble: Problem | null = null;

  constructor(private readonly options: TriggerSourceOptions) {
    this.tracker = new CursorTracker(options.cursor);
  }

  get namespace(): string | undefined {
    return this.options.namespace;
  }

  /** The watch tells changes as they happen. */
  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  /** Why nothing can be read at the moment. */
  get trouble(): Problem | null {
    return this.#trouble;
  }

  /** Goes to the present. */
  async skipToPresent(resource: Resource<KubeObject>, signal: AbortSignal): Promise<void> {
    const time = this.options.clock.now();
    await this.#untilDone(resource, signal, async () => {
      const { metadata } = await this.#page(resource, { limit: 1 }, signal);
      this.tracker.advance(positionOf(metadata.resourceVersion), time);
    });
  }

  /** Lists what is there, unless it begins behind that, and follows the changes. Rejects when the signal aborts, or with KindGoneError. */
  async follow(resource: Resource<KubeObject>, signal: AbortSignal): Promise<never> {
    if (this.tracker.seen === null) await this.#untilDone(resource, signal, () => this.#load(resource, signal));
    for (;;) {
      const reason = await this.#watch(resource, signal);
      await this.#untilDone(resource, signal, () => this.#bridge(resource, reason, signal));
    }
  }

  /** No more changes until `resume`. */
  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#subscription?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#subscription?.resume();
  }

  close(): void {
    this.#subscription?.close();
  }

  /** Everything that is there, as ADDED. An interrupted load begins again. */
  async #load(resource: Resource<KubeObject>, signal: AbortSignal): Promise<void> {
    const { clock, onListed, onMoved } = this.options;
    const time = clock.now();
    const revision = await this.#eachPage(resource, signal, async (objects) => {
      for (const object of objects) {
        const { resourceVersion } = object.metadata;
        await onListed({ type: 'ADDED', object, position: positionOf(resourceVersion) }, 'initially', signal);
      }
    });
    this.tracker.advance(positionOf(revision), time);
    onMoved('moved');
  }

  /** Until the server does not know the changes any more. */
  #watch(resource: Resource<KubeObject>, signal: AbortSignal): Promise<Error> {
    const { watches, clock, onChange, onMoved, onState } = this.options;
    const target = this.#target(resource);
    const from = this.tracker.seen?.position ?? 0n;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#subscription?.close();
        this.#subscription = null;
        this.#isFollowing = false;
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        end();
        reject(reasonOf(signal));
      };
      if (signal.aborted) {
        reject(reasonOf(signal));
        return;
      }
      signal.addEventListener('abort', abort);
      this.#subscription = watches.subscribe(target, from, {
        change: onChange,
        bookmark: (position) => {
          this.tracker.advance(position, clock.now());
          onMoved('idle');
        },
        following: () => {
          this.#isFollowing = true;
          this.#trouble = null;
          onState();
        },
        trouble: (error) => {
          this.#isFollowing = false;
          this.#trouble = watchProblem(error, target);
          onState();
          if (!(error instanceof StatusError && error.isNotFound)) return;
          end();
          reject(new KindGoneError(error.message));
        },
        gone: (error) => {
          end();
          resolve(error);
        },
      });
      if (this.#isPaused) this.#subscription.pause();
    });
  }

  /** Lists what changed since, and tells it in the order of the changes; when nothing at all happened there is no gap. */
  async #bridge(resource: Resource<KubeObject>, reason: Error, signal: AbortSignal): Promise<void> {
    const { clock, onListed, onGap, onReset, onMoved } = this.options;
    const since = this.tracker.seen;
    if (since === null) return;
    const time = clock.now();
    let changes: FoundChange[] = [];
    const revision = positionOf(
      await this.#eachPage(resource, signal, async (objects, isFirst) => {
        if (isFirst) changes = [];
        for (const object of objects) {
          const change = foundChange(object, since);
          if (change !== null) changes.push(change);
        }
      }),
    );
    const from = since.position;
    const { client, namespace } = this.options;
    const { labelSelector, fieldSelector } = this.#target(resource);
    const isListed = labelSelector === undefined && fieldSelector === undefined;
    const isQuiet = changes.length === 0 && (await wasQuiet({ client, resource, namespace, from, to: revision, isListed, signal }));
    if (!isQuiet) onGap({ since, revision, reason, objects: changes.length });
    for (const change of inOrder(changes)) await onListed(change, 'after a gap', signal);
    if (revision < since.position) {
      this.tracker.reset({ position: revision, time });
      onReset();
    } else {
      this.tracker.advance(revision, time);
    }
    onMoved('moved');
  }

  /** Tries until it succeeds, and says why it does not. */
  async #untilDone(resource: Resource<KubeObject>, signal: AbortSignal, act: () => Promise<void>): Promise<void> {
    const { clock, random, onState } = this.options;
    const failed = (error: Error): void => {
      if (error instanceof StatusError && error.isNotFound) throw new KindGoneError(error.message);
      this.#trouble = watchProblem(error, this.#target(resource));
      onState();
    };
    await untilDone(act, failed, { clock, random, signal });
    if (this.#trouble === null) return;
    this.#trouble = null;
    onState();
  }

  /** Hands on each page, and returns the revision of the first one: what changed after it is told by a watch from there. */
  async #eachPage(
    resource: Resource<KubeObject>,
    signal: AbortSignal,
    take: (objects: readonly KubeObject[], isFirst: boolean) => Promise<void>,
  ): Promise<string | undefined> {
    let revision: string | undefined;
    let next: string | undefined;
    do {
      const page = await this.#page(resource, { limit: PAGE_SIZE, continue: next }, signal).catch((error: unknown) => {
        // It took so long that the version of the first page is compacted: the rest is of a newer one.
        const rest = next === undefined ? undefined : continueAfter(error);
        if (rest === undefined) throw error;
        return this.#page(resource, { limit: PAGE_SIZE, continue: rest }, signal);
      });
      for (const object of page.items) delete object.metadata.managedFields;
      const isFirst = next === undefined;
      if (isFirst) revision = page.metadata.resourceVersion;
      await take(page.items, isFirst);
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
    } while (next !== undefined);
    return revision;
  }

  #page(
    resource: Resource<KubeObject>,
    page: { readonly limit: number; readonly continue?: string },
    signal: AbortSignal,
  ): Promise<KubeList<KubeObject>> {
    const { resource: of, ...select } = this.#target(resource);
    return this.options.client.list(of, { ...select, ...page, exactIntegers: true, signal });
  }

  #target(resource: Resource<KubeObject>): WatchTarget {
    const { spec, namespace } = this.options;
    const { labelSelectors = [], fieldSelectors = [] } = spec;
    return {
      resource,
      namespace,
      labelSelector: labelSelectors.length === 0 ? undefined : labelSelectors.join(','),
      fieldSelector: fieldSelectors.length === 0 ? undefined : fieldSelectors.join(','),
    };
  }
}

/** Where the list can go on with a newer version. */
function continueAfter(error: unknown): string | undefined {
  if (!(error instanceof StatusError) || !error.isGone) return undefined;
  const { metadata } = error.status;
  return 'continue' in metadata && typeof metadata.continue === 'string' && metadata.continue !== '' ? metadata.continue : undefined;
}

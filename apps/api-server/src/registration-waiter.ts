/**
 * Waits for what becomes of RegistrationRequests.
 *
 * All calls share one watch. A call says which name it is going to create before it creates it: from then on everything that the watch brings of that
 * name is kept. What happens to the object happens after its creation, so the watch, which brings every change in order and goes on from where it
 * stood when it is cut, cannot have brought any of it before. So it does not matter how quickly the object comes and goes, nor whether the answer to
 * the create or the object's deletion is heard of first, nor how far the watch has fallen behind: a wait starts no later than at the version of
 * the create.
 *
 * Only when the server no longer knows the version at which a cut watch stood does the watch begin anew, and the end of an object that came and went
 * in between is not seen. Then the object is asked for by name, and the wait ends as `lost`.
 */
import type { RegistrationRequest } from '@harikube/crds';
import { type Clock, type Informer, type InformerHandler, StatusError, systemClock } from '@harikube/kube';
import { isFailed } from './registration-outcome.js';

export type Outcome =
  /** It is gone, and this is the last that was seen of it. */
  | { readonly is: 'gone'; readonly request: RegistrationRequest }
  /** It says that it has failed, and is kept for people to see. */
  | { readonly is: 'failed'; readonly request: RegistrationRequest }
  /** The time is over. Null: nothing was seen of it. */
  | { readonly is: 'pending'; readonly request: RegistrationRequest | null }
  /** It is gone, and its end was not seen. */
  | { readonly is: 'lost'; readonly request: RegistrationRequest | null };

export interface RegistrationWaiterOptions {
  readonly requests: Pick<Informer<RegistrationRequest>, 'addHandler' | 'get'>;
  /** Reads a request; throws a `StatusError` when it is not there. */
  readonly read: (name: string, signal: AbortSignal) => Promise<RegistrationRequest>;
  readonly clock?: Clock;
}

/** A request that neither the watch nor the cache has shown is asked for so often. */
const LOOK_MS = 5000;

export class RegistrationWaiter {
  readonly #options: Required<RegistrationWaiterOptions>;
  readonly #expected = new Map<string, Set<ExpectedRequest>>();
  readonly #removeHandler: () => void;

  constructor({ clock = systemClock, ...options }: RegistrationWaiterOptions) {
    this.#options = { ...options, clock };
    const tell = (request: RegistrationRequest, isGone: boolean): void => {
      for (const expected of this.#expected.get(request.metadata.name ?? '') ?? []) expected.see(request, isGone);
    };
    const handler: InformerHandler<RegistrationRequest> = {
      onAdd: (request) => tell(request, false),
      onUpdate: (_, request) => tell(request, false),
      onDelete: (request) => tell(request, true),
    };
    this.#removeHandler = this.#options.requests.addHandler(handler);
  }

  /** Before the request is created. To be closed. */
  expect(name: string): ExpectedRequest {
    const group = this.#expected.get(name) ?? new Set<ExpectedRequest>();
    this.#expected.set(name, group);
    const expected = new ExpectedRequest(name, this.#options, () => {
      group.delete(expected);
      if (group.size === 0 && this.#expected.get(name) === group) this.#expected.delete(name);
    });
    group.add(expected);
    const known = this.#options.requests.get(name);
    if (known !== undefined) expected.see(known, false);
    return expected;
  }

  /** Whether there is a request of this name, as far as the watch has told. */
  knows(name: string): boolean {
    return this.#options.requests.get(name) !== undefined;
  }

  close(): void {
    this.#removeHandler();
  }
}

interface Seen {
  readonly request: RegistrationRequest;
  readonly isGone: boolean;
}

/** One name, for which something waits. */
export class ExpectedRequest {
  readonly #options: Required<RegistrationWaiterOptions>;
  /** By uid: an earlier request of the same name may be going while this one comes. */
  readonly #seen = new Map<string, Seen>();
  #wake: () => void = () => undefined;

  constructor(
    private readonly name: string,
    options: Required<RegistrationWaiterOptions>,
    readonly close: () => void,
  ) {
    this.#options = options;
  }

  see(request: RegistrationRequest, isGone: boolean): void {
    const uid = request.metadata.uid ?? '';
    // What is gone stays gone, whatever a cache said of it at the beginning.
    if (this.#seen.get(uid)?.isGone !== true) this.#seen.set(uid, { request, isGone });
    this.#wake();
  }

  /** Rejects with the reason of the signal when that aborts. */
  async outcome(uid: string, waitMs: number, signal: AbortSignal): Promise<Outcome> {
    const { clock } = this.#options;
    const end = clock.monotonic() + waitMs;
    for (let missed = false; ;) {
      signal.throwIfAborted();
      const seen = this.#seen.get(uid);
      if (seen?.isGone === true) return { is: 'gone', request: seen.request };
      if (seen !== undefined && isFailed(seen.request)) return { is: 'failed', request: seen.request };
      const left = end - clock.monotonic();
      if (left <= 0) return { is: 'pending', request: seen?.request ?? null };
      const isUpToDate = await this.#next(Math.min(left, LOOK_MS), signal);
      if (isUpToDate || this.#options.requests.get(this.name)?.metadata.uid === uid) {
        missed = false;
        continue;
      }
      if (clock.monotonic() >= end || this.#seen.get(uid)?.isGone === true) continue;
      const isThere = await this.#isThere(uid, signal);
      // At the first time the watch may only be late; at the second nothing is to be expected of it.
      if (isThere === false && missed && this.#seen.get(uid)?.isGone !== true)
        return { is: 'lost', request: this.#seen.get(uid)?.request ?? null };
      missed = isThere === false;
    }
  }

  /** True: something was seen; false: the time is over. */
  #next(milliseconds: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (isSeen: boolean): void => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        this.#wake = () => undefined;
        resolve(isSeen);
      };
      const onAbort = (): void => done(true);
      const cancel = this.#options.clock.setTimeout(() => done(false), milliseconds);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => done(true);
    });
  }

  /** Null: kube-apiserver does not say. */
  async #isThere(uid: string, signal: AbortSignal): Promise<boolean | null> {
    try {
      return (await this.#options.read(this.name, signal)).metadata.uid === uid;
    } catch (error) {
      if (error instanceof StatusError && error.isNotFound) return false;
      return null;
    }
  }
}

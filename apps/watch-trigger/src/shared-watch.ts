/**
 * One watch for all who want the same. Each subscriber has a position of its own. Whoever stands at or above the watch's is live: it is told what comes,
 * and is skipped up to where it is. Whoever stands below catches up by a watch of its own, and becomes live in the turn in which it reaches the shared
 * one: nothing fits in between. A subscriber that cannot take more is paused, which holds up nobody else, and catches up afterwards.
 */
import { apiVersionOf } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import type { Position } from './position.js';
import { type Change, WatchLoop, type WatchParts, type WatchSink, type WatchTarget } from './watch-loop.js';

/** Is told every change after its position once, in their order. After `gone` the subscription has ended. */
export type Subscriber = WatchSink;

export interface Subscription {
  /** Nothing is told until `resume`, which goes on with what comes after the last change or bookmark that was told. */
  pause(): void;
  resume(): void;
  close(): void;
}

interface SharedWatchParts extends WatchParts {
  readonly logger: Logger;
}

interface Member {
  readonly subscriber: Subscriber;
  position: Position;
  /** Changes up to it were told before it became live. */
  skipUpTo: Position;
  /** Starting: live as soon as the watch has begun, at the end of this turn. */
  state: 'idle' | 'starting' | 'live' | 'catching-up' | 'closed';
  own: WatchLoop | null;
}

/** A subscriber that threw is left alone for so long. */
const FAILED_SUBSCRIBER_PAUSE_MS = 10_000;

export class SharedWatch {
  readonly #target: WatchTarget;
  readonly #parts: SharedWatchParts;
  readonly #members = new Set<Member>();
  readonly #live = new Set<Member>();
  #loop: WatchLoop | null = null;
  #isStarting = false;

  constructor(target: WatchTarget, parts: SharedWatchParts) {
    this.#target = target;
    this.#parts = parts;
  }

  get isUnused(): boolean {
    return this.#members.size === 0;
  }

  /** Subscriptions of one turn begin together, at the lowest of their positions. */
  subscribe(from: Position, subscriber: Subscriber): Subscription {
    const member: Member = { subscriber, position: from, skipUpTo: from, state: 'idle', own: null };
    this.#members.add(member);
    this.#join(member);
    return {
      pause: () => this.#leave(member, 'idle'),
      resume: () => {
        if (member.state === 'idle') this.#join(member);
      },
      close: () => {
        this.#leave(member, 'closed');
        this.#members.delete(member);
      },
    };
  }

  #join(member: Member): void {
    if (this.#loop === null) {
      member.state = 'starting';
      if (!this.#isStarting) queueMicrotask(() => this.#begin());
      this.#isStarting = true;
    } else if (member.position >= this.#loop.position) {
      this.#enter(member);
      if (this.#loop.isFollowing) this.#guard(member, () => member.subscriber.following());
    } else {
      this.#catchUp(member);
    }
  }

  #begin(): void {
    this.#isStarting = false;
    const starting = [...this.#members].filter(({ state }) => state === 'starting');
    const [first] = starting;
    if (first === undefined) return;
    const lowest = starting.reduce((low, { position }) => (position < low ? position : low), first.position);
    const loop = new WatchLoop(this.#target, lowest, this.#fanOut(), this.#parts);
    this.#loop = loop;
    for (const member of starting) this.#enter(member);
    loop.start();
  }

  #enter(member: Member): void {
    member.own?.stop();
    member.own = null;
    member.state = 'live';
    member.skipUpTo = member.position;
    this.#live.add(member);
  }

  #catchUp(member: Member): void {
    member.state = 'catching-up';
    const { subscriber } = member;
    const arrived = (): void => {
      const isThere = member.state === 'catching-up' && this.#loop !== null && member.position >= this.#loop.position;
      if (isThere) this.#enter(member);
    };
    member.own = new WatchLoop(
      this.#target,
      member.position,
      {
        change: (change) => {
          this.#change(member, change);
          arrived();
        },
        bookmark: (position) => {
          this.#bookmark(member, position);
          arrived();
        },
        following: () => this.#guard(member, () => subscriber.following()),
        trouble: (error) => this.#guard(member, () => subscriber.trouble(error)),
        gone: (error) => this.#end(member, error),
      },
      this.#parts,
    );
    member.own.start();
  }

  #fanOut(): WatchSink {
    const tellAll = (tell: (subscriber: Subscriber) => void): void => {
      for (const member of this.#live) this.#guard(member, () => tell(member.subscriber));
    };
    return {
      change: (change) => {
        for (const member of this.#live) if (change.position > member.skipUpTo) this.#change(member, change);
      },
      bookmark: (position) => {
        for (const member of this.#live) if (position >= member.position) this.#bookmark(member, position);
      },
      following: () => tellAll((subscriber) => subscriber.following()),
      trouble: (error) => tellAll((subscriber) => subscriber.trouble(error)),
      gone: (error) => this.#expire(error),
    };
  }

  /** The watch's position is too old; who stands above it may do without what is missing. */
  #expire(error: Error): void {
    const position = this.#loop?.position ?? 0n;
    const live = [...this.#live];
    this.#stopShared();
    for (const member of live) {
      if (member.position > position) this.#join(member);
      else this.#end(member, error);
    }
    this.#rejoin();
  }

  #change(member: Member, change: Change): void {
    const before = member.position;
    if (change.position > before) member.position = change.position;
    const isTold = this.#guard(member, () => member.subscriber.change(change));
    // It is told this one again.
    if (!isTold) member.position = before;
  }

  #bookmark(member: Member, position: Position): void {
    if (position > member.position) member.position = position;
    this.#guard(member, () => member.subscriber.bookmark(position));
  }

  #end(member: Member, error: Error): void {
    this.#leave(member, 'closed');
    this.#members.delete(member);
    this.#guard(member, () => member.subscriber.gone(error));
  }

  #leave(member: Member, state: 'idle' | 'closed'): void {
    if (member.state === 'closed') return;
    const wasLive = this.#live.delete(member);
    member.own?.stop();
    member.own = null;
    member.state = state;
    if (!wasLive || this.#live.size > 0) return;
    // Nobody listens: whoever comes back begins where it is.
    this.#stopShared();
    this.#rejoin();
  }

  #stopShared(): void {
    this.#loop?.stop();
    this.#loop = null;
    this.#live.clear();
  }

  /** Whoever was catching up has no shared watch to reach any more, and begins one. */
  #rejoin(): void {
    for (const member of this.#members) {
      if (member.state !== 'catching-up') continue;
      member.own?.stop();
      member.own = null;
      this.#join(member);
    }
  }

  /** What a subscriber throws is its own trouble. */
  #guard(member: Member, tell: () => void): boolean {
    try {
      tell();
      return true;
    } catch (error) {
      this.#parts.logger.error('a subscriber of a watch failed; it is told again in a while', { err: error });
      this.#leave(member, 'idle');
      this.#parts.clock.setTimeout(() => {
        if (member.state === 'idle') this.#join(member);
      }, FAILED_SUBSCRIBER_PAUSE_MS);
      return false;
    }
  }
}

/** The watches of a program. */
export class SharedWatches {
  readonly #parts: SharedWatchParts;
  readonly #watches = new Map<string, SharedWatch>();

  constructor(parts: SharedWatchParts) {
    this.#parts = parts;
  }

  /** How many different ones somebody wants. */
  get size(): number {
    return this.#watches.size;
  }

  subscribe(target: WatchTarget, from: Position, subscriber: Subscriber): Subscription {
    const { resource, namespace, labelSelector, fieldSelector } = target;
    const key = JSON.stringify([apiVersionOf(resource), resource.plural, namespace, labelSelector, fieldSelector]);
    const watch = this.#watches.get(key) ?? new SharedWatch(target, this.#parts);
    this.#watches.set(key, watch);
    const forget = (): void => {
      if (watch.isUnused && this.#watches.get(key) === watch) this.#watches.delete(key);
    };
    const subscription = watch.subscribe(from, {
      ...subscriber,
      gone: (error) => {
        forget();
        subscriber.gone(error);
      },
    });
    return {
      ...subscription,
      close: () => {
        subscription.close();
        forget();
      },
    };
  }
}

import type { Revision } from '@harikube/keyspace';
import type { History } from './history.js';

/** Something that holds from a time on. */
interface Mark {
  readonly at: number;
  readonly revision: Revision;
}

/** What anybody had been told, and what had been asked for, at any time. */
export class Tellings {
  readonly #told: Steps;
  readonly #compacted: Steps;
  readonly #compactionsAsked: Steps;

  constructor({ calls, watches, base }: History) {
    const told: Mark[] = [{ at: -Infinity, revision: base }];
    const compacted: Mark[] = [];
    const asked: Mark[] = [];
    for (const { request, outcome, startedAt, endedAt } of calls) {
      if (outcome.type === 'done') told.push({ at: endedAt, revision: outcome.revision });
      if (request.type !== 'compact' || outcome.type === 'refused') continue;
      asked.push({ at: startedAt, revision: request.revision });
      if (outcome.type === 'done') compacted.push({ at: endedAt, revision: request.revision });
    }
    for (const { messages } of watches) {
      for (const message of messages) if ('revision' in message) told.push({ at: message.at, revision: message.revision });
    }
    this.#told = new Steps(told);
    this.#compacted = new Steps(compacted);
    this.#compactionsAsked = new Steps(asked);
  }

  /** The highest revision that anybody was told before a time. */
  before(at: number): Revision {
    return this.#told.before(at);
  }

  /** How far it was compacted for certain before a time; 0: not at all. */
  compactedBefore(at: number): Revision {
    return this.#compacted.before(at);
  }

  /** How far it may have been compacted by a time; 0: not at all. */
  compactedAfter(at: number): Revision {
    return this.#compactionsAsked.before(at);
  }
}

/** A maximum that grows with time. */
class Steps {
  readonly #at: number[] = [];
  readonly #highest: Revision[] = [];

  constructor(marks: readonly Mark[]) {
    let highest = 0n;
    for (const { at, revision } of [...marks].sort((a, b) => a.at - b.at)) {
      if (revision <= highest) continue;
      highest = revision;
      this.#at.push(at);
      this.#highest.push(highest);
    }
  }

  before(at: number): Revision {
    let low = 0;
    let high = this.#at.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#at[middle] as number) < at) low = middle + 1;
      else high = middle;
    }
    return this.#highest[low - 1] ?? 0n;
  }
}

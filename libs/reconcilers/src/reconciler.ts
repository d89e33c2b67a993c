import type { Logger } from '@harikube/platform';
import type { Key } from './key.js';

export interface Result {
  /** Come again after so long, whatever changes before. 0: as soon as the rate limit of retries lets it. Absent: when something changes. */
  readonly requeueAfterMs?: number;
}

export interface ReconcileContext {
  /**
   * Aborts when the work must not go on: the lease is lost, the process ends, or the reconcile takes too long. Every request takes it, so that
   * nothing is written by one who no longer may.
   */
  readonly signal: AbortSignal;
  /** Its lines carry the controller, the object, and an id of this run. */
  readonly logger: Logger;
}

/**
 * Brings the world closer to what an object asks for. It is told the name only and looks at the present state: any run may be repeated, come late or
 * be broken off in the middle.
 *
 * What it throws is logged and counted, and it comes again after a while that doubles with each failure, 5 ms to 1000 s; a conflict (409) is no
 * failure to speak of. A `TerminalError` ends it until something changes. `requeueAfterMs` ends a row of failures as success does.
 */
export interface Reconciler {
  reconcile(key: Key, context: ReconcileContext): Promise<Result>;
}

/** Trying again would not help: the object has to change first. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

import type { HTTPTrigger } from '@harikube/crds';
import type { KubeObject } from '@harikube/kube';
import { BoundedTemplate } from './bounded-template.js';
import type { EventType } from './trigger-event.js';
import { UnsendableError } from './unsendable-error.js';

export interface FilterFailure {
  readonly reason: string;
  readonly message: string;
}

const FIELD = 'eventFilter';
const MAX_BYTES = 8192;

/** Which events a trigger is about: those of its types whose object makes its condition true. */
export class EventFilter {
  /** Why the condition can be evaluated on no object; null: it can, or there is none. */
  readonly problem: string | null;
  readonly #types: ReadonlySet<EventType> | null;
  readonly #condition: BoundedTemplate | null;

  constructor({ eventTypes = [], eventFilter }: Pick<HTTPTrigger['spec'], 'eventTypes' | 'eventFilter'>) {
    this.#types = eventTypes.length === 0 ? null : new Set(eventTypes);
    let condition: BoundedTemplate | null = null;
    let problem: string | null = null;
    try {
      if (eventFilter !== undefined)
        condition = new BoundedTemplate(`{{if ${eventFilter}}}true{{end}}`, { field: FIELD, maxBytes: MAX_BYTES });
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    this.#condition = condition;
    this.problem = problem;
  }

  /** With a condition that cannot be evaluated at all every object is of interest: what it is about has to be decided by one that can. */
  matches(type: EventType, object: KubeObject): 'yes' | 'no' | FilterFailure {
    if (this.#types !== null && !this.#types.has(type)) return 'no';
    try {
      return this.#condition === null || this.#condition.execute(object) === 'true' ? 'yes' : 'no';
    } catch (error) {
      if (error instanceof UnsendableError) return { reason: error.reason, message: error.message };
      throw error;
    }
  }
}

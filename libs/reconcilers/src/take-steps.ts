import { isRoleUnseen } from './child.js';
import type { Result } from './reconciler.js';

/** More steps than any object takes in one run: beyond it, two of them undo each other. */
const MAX_STEPS = 20;

/**
 * Takes one step after another until one of them ends the run by null. `object` is what an error calls the thing. A binding that was refused since the
 * authorizer had not noticed its role is tried again soon: no watch tells of that.
 */
export async function takeSteps<State>(
  object: string,
  start: State,
  take: (state: State) => Promise<State | null> | State | null,
): Promise<Result> {
  let state = start;
  for (let steps = 0; steps < MAX_STEPS; steps++) {
    try {
      const next = await take(state);
      if (next === null) return {};
      state = next;
    } catch (error) {
      if (isRoleUnseen(error)) return { requeueAfterMs: 0 };
      throw error;
    }
  }
  throw new Error(`the ${object} took ${MAX_STEPS} steps without coming to a rest`);
}

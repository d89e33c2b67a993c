import { describe, expect, it } from '@jest/globals';
import { StatusError } from '@harikube/kube';
import { takeSteps } from './take-steps.js';

describe('takeSteps', () => {
  it('hands the outcome of each step to the next, until one ends the run', async () => {
    const seen: number[] = [];
    const take = (state: number): number | null => {
      seen.push(state);
      return state < 3 ? state + 1 : null;
    };
    expect(await takeSteps('Thing a', 1, take)).toEqual({});
    expect(seen).toEqual([1, 2, 3]);
  });

  it('ends a run in which two steps undo each other', async () => {
    await expect(takeSteps('Thing a', true, (state) => !state)).rejects.toThrow('the Thing a took 20 steps without coming to a rest');
  });

  it('comes again soon for a role that is not seen yet, and throws everything else on', async () => {
    const refusal = (kind: string) => () => {
      throw new StatusError({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        reason: 'NotFound',
        code: 404,
        details: { kind },
      });
    };
    expect(await takeSteps('Thing a', 1, refusal('rolebindings'))).toEqual({ requeueAfterMs: 0 });
    await expect(takeSteps('Thing a', 1, refusal('namespaces'))).rejects.toThrow(StatusError);
  });
});

import { HTTP_TRIGGERS } from '@harikube/crds';
import { apiVersionOf, type KubeObject } from '@harikube/kube';
import { describe, expect, it } from '@jest/globals';
import { isStatusChange } from './own-kind.js';

function trigger(generation: number, uid = 'u'): KubeObject {
  return { apiVersion: apiVersionOf(HTTP_TRIGGERS), kind: 'HTTPTrigger', metadata: { uid, generation } };
}

describe('isStatusChange', () => {
  it('is a MODIFIED of a trigger whose generation is the one that was seen before', () => {
    const seen = new Map<string, number>();
    expect(isStatusChange('ADDED', trigger(1), seen)).toBe(false);
    expect(isStatusChange('MODIFIED', trigger(1), seen)).toBe(true);
    expect(isStatusChange('MODIFIED', trigger(2), seen)).toBe(false);
    expect(isStatusChange('MODIFIED', trigger(2), seen)).toBe(true);
    expect(isStatusChange('MODIFIED', trigger(2, 'other'), seen)).toBe(false);
  });

  it('forgets a trigger that is gone', () => {
    const seen = new Map([['u', 1]]);
    expect(isStatusChange('DELETED', trigger(1), seen)).toBe(false);
    expect(seen.size).toBe(0);
  });

  it('has nothing to do with other kinds', () => {
    const seen = new Map<string, number>();
    const pod = { apiVersion: 'v1', kind: 'HTTPTrigger', metadata: { uid: 'p', generation: 1 } };
    expect([isStatusChange('MODIFIED', pod, seen), isStatusChange('MODIFIED', pod, seen), seen.size]).toEqual([false, false, 0]);
  });
});

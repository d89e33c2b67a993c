import { describe, expect, it } from '@jest/globals';
import type { KubeObject } from '@harikube/kube';
import { foundChange, inOrder } from './gap.js';

const TIME = Date.parse('2026-01-02T03:04:05Z');
const CURSOR = { position: 100n, time: TIME };

function object(resourceVersion: string, creationTimestamp?: string): KubeObject {
  return { metadata: { name: `at-${resourceVersion}`, resourceVersion, creationTimestamp } };
}

describe('foundChange', () => {
  it.each([
    ['at the cursor', object('100', '2026-01-02T03:00:00Z'), undefined],
    ['below the cursor', object('7', '2026-01-02T03:10:00Z'), undefined],
    ['above it, created long before', object('101', '2026-01-01T00:00:00Z'), 'MODIFIED'],
    ['above it, created 61 seconds before', object('101', '2026-01-02T03:03:04Z'), 'MODIFIED'],
    ['above it, created 60 seconds before', object('101', '2026-01-02T03:03:05Z'), 'ADDED'],
    ['above it, created after', object('101', '2026-01-02T03:10:00Z'), 'ADDED'],
    ['above it, created nobody knows when', object('101'), 'ADDED'],
  ])('tells of an object %s', (_, found, type) => {
    expect(foundChange(found, CURSOR)?.type).toBe(type);
  });

  it('is told in the order of the changes, which is that of numbers', () => {
    const changes = ['1000', '101', '999'].map((version) => foundChange(object(version), CURSOR)).filter((change) => change !== null);
    expect(inOrder(changes).map(({ position }) => position)).toEqual([101n, 999n, 1000n]);
  });
});

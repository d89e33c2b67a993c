import { describe, expect, it } from '@jest/globals';
import { runDifferential } from './differential.js';

describe('the router and etcd, asked the same', () => {
  // The first seed has one database behind the router, the next one three.
  it.each([20_260, 20_261])('answer the same (seed %i)', async (seed) => {
    const report = await runDifferential({ seed, seconds: 0, steps: 500, print: () => undefined });
    expect(report).toEqual({ episodes: 1, steps: 500, difference: null });
  });
});

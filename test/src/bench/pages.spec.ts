import { describe, expect, it } from '@jest/globals';
import { describePages } from './pages.js';

const summary = { requests: 1, errors: 0, seconds: 1, perSecond: 1, meanMs: 1, p50Ms: 1, p90Ms: 1, p95Ms: 1, p99Ms: 1, maxMs: 1 };
const walked = (...walksMs: number[][]) => ({ loading: summary, walksMs, anywhereMs: [] });
const bench = {
  objects: 1500,
  // Each store has a page that is slow in no other.
  results: [walked([4, 2, 2], [9, 2, 2]), walked([4, 9, 2]), walked([4, 2, 9])],
  peakMegabytes: 299,
};

describe('describePages', () => {
  it('says that both limits hold', () => {
    expect(describePages('router', bench).holds).toBe(true);
  });

  it('tells of each walk which page was the slowest', () => {
    expect(describePages('router', bench).text).toContain('slowest 9.0 ms (page 3, 2.25x the median)');
  });

  it.each([
    ['memory', { ...bench, peakMegabytes: 300 }],
    ['pages', { ...bench, results: [walked([6.1, 2, 2]), walked([6.1, 2, 2]), walked([2, 2, 2])] }],
  ])('says when the limit of %s does not hold', (_, above) => {
    const { holds, text } = describePages('router', above);
    expect(holds).toBe(false);
    expect(text).toContain('DOES NOT HOLD');
  });
});

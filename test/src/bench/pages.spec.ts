import { describe, expect, it } from '@jest/globals';
import { describePages } from './pages.js';

const summary = { requests: 1, errors: 0, seconds: 1, perSecond: 1, meanMs: 1, p50Ms: 1, p90Ms: 1, p95Ms: 1, p99Ms: 1, maxMs: 1 };
const bench = {
  objects: 1500,
  result: {
    loading: summary,
    walksMs: [
      [4, 2, 2],
      [9, 2, 2],
    ],
    anywhereMs: [],
  },
  peakMegabytes: 299,
};

describe('describePages', () => {
  it('says that both limits hold', () => {
    expect(describePages('router', bench).holds).toBe(true);
  });

  it.each([
    ['memory', { ...bench, peakMegabytes: 300 }],
    ['pages', { ...bench, result: { loading: summary, walksMs: [[6.1, 2, 2]], anywhereMs: [] } }],
  ])('says when the limit of %s does not hold', (_, above) => {
    const { holds, text } = describePages('router', above);
    expect(holds).toBe(false);
    expect(text).toContain('DOES NOT HOLD');
  });
});

import { describe, expect, it } from '@jest/globals';
import { holds } from './limit.js';
import { describeWatches } from './watches.js';

const summary = { requests: 1, errors: 0, seconds: 1, perSecond: 1000, meanMs: 1, p50Ms: 1, p90Ms: 1, p95Ms: 1, p99Ms: 1, maxMs: 1 };
const measured = (p99Ms: number, more: number) => ({
  fanOut: { puts: summary, lateMs: 0, lag: { ...summary, perSecond: 100_000, p99Ms } },
  cpuShare: 0.5,
  manyStreams: { beforeMegabytes: 200, afterMegabytes: 200 + more, seconds: 1 },
  oneStream: { beforeMegabytes: 200, afterMegabytes: 210, seconds: 1 },
});
const bench = (p99Ms: number, more: number) => ({
  options: { stores: ['router', 'etcd'] as const, repetitions: 1, seconds: 10 },
  repetitions: { router: [measured(p99Ms, more)], etcd: [measured(200, 300)] },
});

describe('describeWatches', () => {
  it('holds the first store against the limits, and only it', () => {
    const { text, limits } = describeWatches(bench(49, 99));
    expect(limits.every(holds)).toBe(true);
    expect(text).toContain('| etcd | 1000 | 100000 | 1.0 / 1.0 / 200.0 / 1.0 | 50 % | 300 MB | 10 MB |');
  });

  it.each([
    ['lag', bench(50, 99), 'p99 lag'],
    ['memory', bench(49, 100), 'a stream each'],
  ])('names the limit of %s that does not hold', (_, broken, name) => {
    const { text, limits } = describeWatches(broken);
    expect(limits.filter((limit) => !holds(limit)).map(({ what }) => what)).toEqual([expect.stringContaining(name)]);
    expect(text).toContain('DOES NOT HOLD');
  });
});

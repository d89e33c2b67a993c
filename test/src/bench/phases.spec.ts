import { describe, expect, it } from '@jest/globals';
import { phasesTable } from './phases.js';

const measured = (perSecond: number) => ({
  requests: 100,
  errors: 0,
  seconds: 1,
  perSecond,
  meanMs: 1,
  p50Ms: 1,
  p90Ms: 2,
  p95Ms: 3,
  p99Ms: 4,
  maxMs: 5,
  cpuMicroseconds: 70,
});
const repetition = (perSecond: number) => ({
  phases: [measured(perSecond)],
  memory: { residentMegabytes: 90, peakMegabytes: 120 },
  pageCache: { cached: 30, size: 40 },
});

describe('phasesTable', () => {
  it('takes ratios repetition by repetition, so that a noisy moment does not count twice', () => {
    const text = phasesTable({
      options: {
        stores: ['router', 'etcd'],
        phases: [{ kind: 'create', clients: 16 }],
        repetitions: 3,
        seconds: 1,
        preload: 0,
        cold: false,
        warmUp: 1,
        grpcGo: false,
      },
      repetitions: { router: [1000, 100, 3000].map(repetition), etcd: [500, 50, 1000].map(repetition) },
      errors: [],
    });
    expect(text.split('\n')).toEqual([
      '| requests/s (server CPU µs each; p50 / p99 ms) | router | etcd | router ÷ etcd |',
      '| --- | --- | --- | --- |',
      '| create, 16 clients | **1000** (70; 1.00 / 4.00) | **500** (70; 1.00 / 4.00) | 2.00x, CPU 1.00x |',
      '| resident memory after all | 90 MB, peak 120 MB | 90 MB, peak 120 MB |  |',
      '| its files in the page cache before the last reads | 30 of 40 MB | 30 of 40 MB |  |',
    ]);
  });

  it('compares each router with etcd and with kine on its engine', () => {
    const stores = ['router', 'kine', 'kine-full', 'etcd', 'router-mariadb', 'kine-mariadb', 'router-etcd', 'router-normal'] as const;
    const text = phasesTable({
      options: {
        stores,
        phases: [{ kind: 'create', clients: 16 }],
        repetitions: 1,
        seconds: 1,
        preload: 0,
        cold: false,
        warmUp: 1,
        grpcGo: false,
      },
      repetitions: Object.fromEntries(stores.map((store, at) => [store, [repetition(1000 * (at + 1))]])),
      errors: [],
    });
    const [header = [], , row = []] = text.split('\n').map((line) =>
      line
        .slice(2, -2)
        .split(' | ')
        .slice(stores.length + 1),
    );
    expect(header.map((pair, at) => `${pair} ${row[at]?.split(',')[0]}`)).toEqual([
      'router ÷ kine 0.50x',
      'router ÷ kine-full 0.33x',
      'router ÷ etcd 0.25x',
      'router-mariadb ÷ etcd 1.25x',
      'router-mariadb ÷ kine-mariadb 0.83x',
      'router-etcd ÷ etcd 1.75x',
      'router-normal ÷ kine 4.00x',
      'router-normal ÷ kine-full 2.67x',
      'router-normal ÷ etcd 2.00x',
    ]);
  });
});

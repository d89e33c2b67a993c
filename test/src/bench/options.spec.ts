import { describe, expect, it } from '@jest/globals';
import { parseOptions } from './options.js';

describe('options of the bench', () => {
  it('compare the router with etcd and kine by default', () => {
    expect(parseOptions([])).toMatchObject({
      what: 'phases',
      stores: ['router', 'etcd', 'kine', 'kine-full'],
      repetitions: 3,
      seconds: 2.5,
      warmUp: 2,
      grpcGo: false,
    });
  });

  it('take another warm-up and another client', () => {
    expect(parseOptions(['--warm-up', '0.5', '--grpc-go'])).toMatchObject({ warmUp: 0.5, grpcGo: true });
    expect(() => parseOptions(['--warm-up', '0'])).toThrow('--warm-up 0: give a number above 0');
  });

  it('read phases as kind and number of clients', () => {
    expect(parseOptions(['--phases', 'create@16,list@4'])?.phases).toEqual([
      { kind: 'create', clients: 16 },
      { kind: 'list', clients: 4 },
    ]);
  });

  it.each([
    ['pages', 200_000],
    ['scale', 1_000_000],
    ['users', 100_000],
    ['events', 10_000],
  ])('give %s %d objects', (subject, objects) => {
    expect(parseOptions([subject])?.objects).toBe(objects);
  });

  it.each([
    [['--phases', 'put@1'], '--phases put@1: give a list like create@1'],
    [
      ['--stores', 'router,consul'],
      '--stores consul: there are router, router-normal, router-postgres, router-mariadb, router-mysql, router-etcd, etcd, kine, kine-full',
    ],
    [['--seconds', 'soon'], '--seconds soon: give a number above 0'],
    [['pages', 'apiserver'], 'pages apiserver: there are apiserver, pages, watches, scale, users, registrations, events'],
  ])('refuse %j', (args, sentence) => {
    expect(() => parseOptions(args)).toThrow(sentence);
  });
});

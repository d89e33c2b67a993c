import { describe, expect, it } from '@jest/globals';
import { parseOptions, UsageError } from './options.js';

describe('the options of the consistency check', () => {
  it('are a minute with eight clients on a sound router, from a seed of the moment on', () => {
    expect(parseOptions([], 1_234_567)).toEqual({
      seconds: 60,
      seed: 234_567,
      clients: 8,
      engines: ['sqlite', 'sqlite', 'sqlite'],
      kills: 0,
      mutants: [],
      allMutants: false,
      replay: null,
    });
  });

  it('take minutes for seconds, and mutants by their names', () => {
    const options = parseOptions(['--minutes', '2', '--seed', '5', '--tight', '--mutant', 'event-split', '--kills', '3'], 0);
    expect(options).toMatchObject({ seconds: 120, seed: 5, kills: 3, mutants: ['tight', 'event-split'] });
  });

  it('take engines in any order and number', () => {
    expect(parseOptions(['--engines', 'etcd,sqlite,etcd'], 0)?.engines).toEqual(['etcd', 'sqlite', 'etcd']);
  });

  it('are none when help is asked for', () => {
    expect(parseOptions(['--help'], 0)).toBeNull();
  });

  it.each([
    [['--seconds', 'x'], '--seconds x: give a whole number of at most six digits'],
    [['--seconds', '1', '--minutes', '1'], '--seconds and --minutes: give one of them'],
    [['--engines', 'sqlite,oracle'], '--engines sqlite,oracle: "oracle" is not known; take of sqlite, postgres, mariadb, etcd'],
    [['--clients', '0'], '--clients 0: give at least one'],
  ])('%j is refused', (args, message) => {
    expect(() => parseOptions(args, 0)).toThrow(new UsageError(message));
  });

  it('that nobody knows are refused', () => {
    expect(() => parseOptions(['--nothing'], 0)).toThrow(UsageError);
  });
});

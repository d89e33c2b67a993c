import { describe, expect, it } from '@jest/globals';
import { parseOptions } from './options.js';

describe('options of the storage tests', () => {
  it('run both suites of the pinned version on one file by default', () => {
    expect(parseOptions([])).toEqual({
      kubernetes: '0.36.3',
      suites: ['etcd3', 'cacher'],
      setup: 'one',
      pattern: '.',
      isReusing: false,
      server: undefined,
    });
  });

  it('take a Kubernetes version for the one of its module', () => {
    expect(parseOptions(['--kubernetes', '1.34.4'])).toMatchObject({ kubernetes: '0.34.4' });
  });

  it.each([
    [['--setup', 'two'], '--setup two: there are one, split, tls'],
    [['--suite', 'all'], '--suite all: there are etcd3 and cacher'],
    [['--kubernetes', '1.36'], '--kubernetes 1.36: give a whole version, like 0.36.3'],
    [['--setup', 'tls', '--reuse'], '--reuse with --setup tls: each test makes'],
    [['--verbose'], "Unknown option '--verbose'"],
  ])('refuse %j', (args, sentence) => {
    expect(() => parseOptions(args)).toThrow(sentence);
  });
});

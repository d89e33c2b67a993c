import { describe, expect, it } from '@jest/globals';
import { parseOptions, UsageError } from './options.js';

describe('the options of the differential test', () => {
  it('have a minute and a seed of the moment as their defaults', () => {
    expect(parseOptions([], 1_234_567_890_123)).toEqual({ seconds: 60, seed: 567_890_123 });
  });

  it('are read', () => {
    expect(parseOptions(['--seconds', '600', '--seed', '42'], 7)).toEqual({ seconds: 600, seed: 42 });
    expect(parseOptions(['--help'], 7)).toBeNull();
  });

  it.each([
    ['--seconds', 'x'],
    ['--seed', '-1'],
    ['--seed', '1.5'],
    ['--steps', '5'],
  ])('refuse %s %s', (...args) => {
    expect(() => parseOptions(args, 7)).toThrow(UsageError);
  });
});

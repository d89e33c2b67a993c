import { describe, expect, it } from '@jest/globals';
import { didYouMean, nearest } from './nearest.js';

describe('nearest', () => {
  const words = ['endpoint', 'namespace', 'prefix', 'regexp', 'name'];

  it.each([
    ['endpiont', 'endpoint'],
    ['Prefix', 'prefix'],
    ['regex', 'regexp'],
    ['nmae', 'name'],
    ['namespaces', 'namespace'],
  ])('reads %s as %s', (word, expected) => {
    expect(nearest(word, words)).toBe(expected);
  });

  it('offers nothing when no word is close', () => {
    expect(nearest('customresource', words)).toBeUndefined();
    expect(didYouMean('customresource', words)).toBe('');
  });

  it('prefers the closest word', () => {
    expect(nearest('names', ['namespace', 'name'])).toBe('name');
  });

  it('phrases the offer as a question', () => {
    expect(didYouMean('prefxi', words)).toBe(' (did you mean "prefix"?)');
  });
});

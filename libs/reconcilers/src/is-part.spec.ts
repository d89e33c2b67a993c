import { describe, expect, it } from '@jest/globals';
import { isPart } from './is-part.js';

describe('isPart', () => {
  const object = { metadata: { name: 'a', labels: { x: '1', y: '2' } }, rules: [{ verbs: ['get'], extra: true }] };

  it.each([
    [{}, true],
    [{ metadata: { labels: { x: '1' } } }, true],
    [{ metadata: { name: undefined } }, true],
    [{ rules: [{ verbs: ['get'] }] }, true],
    [{ metadata: { labels: { x: '2' } } }, false],
    [{ metadata: { labels: { z: '1' } } }, false],
    [{ rules: [{ verbs: ['get', 'list'] }] }, false],
    [{ rules: [] }, false],
    [{ metadata: { name: { a: 1 } } }, false],
    [{ spec: {} }, false],
  ])('finds that %j is part of it: %j', (part, is) => {
    expect(isPart(object, part)).toBe(is);
  });
});

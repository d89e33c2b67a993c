import { describe, expect, it } from '@jest/globals';
import { contains, keyRange, prefixRange, singleKey } from './key-range.js';
import type { KeyRange } from './model.js';
import { keyText } from './key-text.js';
import { WatchIndex } from './watch-index.js';

const b = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('WatchIndex', () => {
  const ranges: KeyRange[] = [
    prefixRange(b('/registry/pods/')),
    prefixRange(b('/registry/pods/ns/')),
    prefixRange(b('/registry/pods')),
    prefixRange(b('/registry/pods/ns/a')),
    prefixRange(b('/')),
    prefixRange(b('')),
    prefixRange(b('\xff/')),
    singleKey(b('/registry/pods/ns/a')),
    singleKey(b('/registry/pods/')),
    keyRange(b('/registry/pods/b'), b('/registry/pods0')),
    keyRange(b('\0'), b('\0')),
    keyRange(b('/registry/pods/ns/a'), b('\0')),
  ];
  const keys = [
    '/registry/pods/ns/a',
    '/registry/pods/ns/',
    '/registry/pods/',
    '/registry/pods',
    '/registry/podsx/a',
    '/',
    '',
    'a',
    '\xff/a',
    '/registry/pods/ns/ab',
  ];

  it('finds for each key exactly the watches whose range holds it, once', () => {
    const index = new WatchIndex<{ range: KeyRange; name: number }>();
    const watches = ranges.flatMap((range, i) => [
      { range, name: 2 * i },
      { range, name: 2 * i + 1 },
    ]);
    for (const watch of watches) index.add(watch);
    expect(index.size).toBe(watches.length);
    const removed = new Set<number>();
    for (const gone of [null, ...watches]) {
      if (gone !== null) {
        index.delete(gone);
        index.delete(gone);
        removed.add(gone.name);
      }
      for (const key of keys.map(b)) {
        const found: number[] = [];
        index.forEach(keyText(key), (watch) => found.push(watch.name));
        const wanted = watches.filter(({ range, name }) => !removed.has(name) && contains(range, key)).map(({ name }) => name);
        expect(found.sort((x, y) => x - y)).toEqual(wanted);
      }
      expect(index.size).toBe(watches.length - removed.size);
    }
  });
});

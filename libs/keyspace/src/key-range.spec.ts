import { describe, expect, it } from '@jest/globals';
import { contains, countedPrefix, isEmptyRange, keyRange, prefixEnd, prefixOf, prefixRange, singleKey } from './key-range.js';

const b = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('a key range', () => {
  it('is spelled as in requests', () => {
    const { start, end, single } = keyRange(b('a'), b(''));
    expect({ start, end, single }).toEqual({ start: b('a'), end: b('a\0'), single: true });
    expect(keyRange(b('a'), b('\0'))).toEqual({ start: b('a'), end: null, single: false });
    expect(keyRange(b('a'), b('c'))).toEqual({ start: b('a'), end: b('c'), single: false });
  });

  it.each([
    ['a', 'b'],
    ['/pods/', '/pods0'],
    ['a\xff', 'b'],
    ['a\xff\xff', 'b'],
    ['\xfe\xff', '\xff'],
  ])('of the prefix %j ends with %j', (prefix, end) => {
    expect(prefixEnd(b(prefix))).toEqual(b(end));
    expect(prefixOf(prefixRange(b(prefix)))).toEqual(b(prefix));
  });

  it('of a prefix behind which nothing comes has no end', () => {
    expect([prefixEnd(b('\xff\xff')), prefixEnd(b(''))]).toEqual([null, null]);
    expect(prefixOf(prefixRange(b('\xff')))).toEqual(b('\xff'));
  });

  it('that is not of a prefix is told from one', () => {
    expect([prefixOf(keyRange(b('/a/x'), b('/a0'))), prefixOf(singleKey(b('/a/'))), prefixOf(keyRange(b('a'), b('\0')))]).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('contains its start and not its end', () => {
    const range = keyRange(b('b'), b('d'));
    expect(['a', 'b', 'b\0', 'c\xff', 'd'].map((key) => contains(range, b(key)))).toEqual([false, true, true, true, false]);
    expect(['a', 'a\0', ''].map((key) => contains(singleKey(b('a')), b(key)))).toEqual([true, false, false]);
    expect(contains(keyRange(b('b'), b('\0')), b('\xff'))).toBe(true);
  });

  it('is empty when it ends where or before it starts', () => {
    expect([
      isEmptyRange(keyRange(b('b'), b('b'))),
      isEmptyRange(keyRange(b('b'), b('a'))),
      isEmptyRange(keyRange(b('b'), b('\0'))),
    ]).toEqual([true, true, false]);
    expect(isEmptyRange(singleKey(b('b')))).toBe(false);
  });
});

describe('the counted prefix', () => {
  it.each([
    ['/registry/pods/ns/name', '/registry/pods/'],
    ['/registry/pods/', '/registry/pods/'],
    ['/registry/services/specs/ns/name', '/registry/services/specs/'],
    ['/registry/shop.example.com/users/ns/name', '/registry/shop.example.com/users/'],
    ['/registry/shop.example.com/users/', '/registry/shop.example.com/users/'],
    ['/registry/minions/node', '/registry/minions/'],
  ])('of %s is %s', (key, prefix) => {
    expect(countedPrefix(b(key))).toEqual(b(prefix));
  });

  it.each([
    'compact_rev_key',
    '/registry',
    '/registry/pods',
    '/registry/health',
    '/registry/shop.example.com/users',
    '/registry/services/specs',
    '',
  ])('of %j is none', (key) => {
    expect(countedPrefix(b(key))).toBeNull();
  });
});

import { describe, expect, it } from '@jest/globals';
import { decodeStoreMeta, encodeStoreMeta, type StoreMeta, toJson } from './own-keys.js';

const FRESH: StoreMeta = {
  identity: 'c3a1"\\é',
  storeId: null,
  epoch: 0n,
  lastRevision: 0n,
  floor: { local: 12n, lastRevision: 0n },
  pending: null,
  ignored: 0n,
  task: null,
};

describe('encodeStoreMeta', () => {
  it.each<[string, StoreMeta]>([
    ['a fresh database', FRESH],
    ['one that was left in the middle of a batch', { ...FRESH, storeId: 's1', pending: { lastRevision: 2n ** 60n, base: 7n } }],
    ['one that is being left', { ...FRESH, epoch: 3n, ignored: 5n, task: 'leaving' }],
  ])('writes %s as older routers did, and it is read again', (_, meta) => {
    expect(encodeStoreMeta(meta).toString()).toBe(toJson({ format: 1, ...meta }).toString());
    expect(decodeStoreMeta(encodeStoreMeta(meta))).toEqual(meta);
  });
});

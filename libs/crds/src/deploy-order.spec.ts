import { describe, expect, it } from '@jest/globals';
import { inDeployOrder, InvalidDeployOrderError, pinOf } from './deploy-order.js';

const item = (
  key: string,
  pin: number | null = null,
  created = '2026-01-01T00:00:00Z',
): { key: string; pin: number | null; created: string } => ({
  key,
  pin,
  created,
});

const ordered = (...items: ReturnType<typeof item>[]): [string, number][] =>
  inDeployOrder(items).map(({ item: { key }, order }) => [key, order]);

describe('inDeployOrder', () => {
  it('puts those that ask for a place first, as numbers and not as texts', () => {
    expect(ordered(item('a/rest'), item('a/ten', 10), item('a/two', 2))).toEqual([
      ['a/two', 2],
      ['a/ten', 10],
      ['a/rest', 11],
    ]);
  });

  it('orders the rest by age, then by name, from 1 on', () => {
    expect(ordered(item('b/old'), item('a/young', null, '2026-01-02T00:00:00Z'), item('a/old'))).toEqual([
      ['a/old', 1],
      ['b/old', 2],
      ['a/young', 3],
    ]);
  });

  it('gives no two the same place', () => {
    expect(ordered(item('a/y', 5, '2026-01-02T00:00:00Z'), item('a/x', 5), item('a/z', 6))).toEqual([
      ['a/x', 5],
      ['a/y', 6],
      ['a/z', 7],
    ]);
  });

  it('takes 0 for a place', () => {
    expect(ordered(item('a/rest'), item('a/zero', 0))).toEqual([
      ['a/zero', 0],
      ['a/rest', 1],
    ]);
  });
});

describe('pinOf', () => {
  const pin = (value?: string): number | null =>
    pinOf({ metadata: value === undefined ? {} : { annotations: { 'harikube.info/deployOrder': value } } });

  it('reads the annotation', () => {
    expect([pin(), pin('0'), pin('007'), pin('999999999')]).toEqual([null, 0, 7, 999_999_999]);
  });

  it.each(['', 'first', '1.5', '-1', '1000000000', ' 1'])('refuses %j and names it', (value) => {
    expect(() => pin(value)).toThrow(InvalidDeployOrderError);
    expect(() => pin(value)).toThrow(`harikube.info/deployOrder=${value} is not usable; write a whole number from 0 to 999999999`);
  });
});

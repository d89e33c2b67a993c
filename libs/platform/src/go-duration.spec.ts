import { describe, expect, it } from '@jest/globals';
import { formatGoDuration, parseGoDuration } from './go-duration.js';

describe('parseGoDuration', () => {
  it.each([
    ['0', 0],
    ['0s', 0],
    ['5m0s', 300_000],
    ['1h', 3_600_000],
    ['100ms', 100],
    ['1.5s', 1500],
    ['1h15m30.918s', 4_530_918],
    ['.5m', 30_000],
    ['250us', 0.25],
    ['3µs', 0.003],
    ['7ns', 0.000007],
    ['-2s', -2000],
    ['+2s', 2000],
  ])('reads %s', (text, milliseconds) => {
    expect(parseGoDuration(text)).toBe(milliseconds);
  });

  it.each(['', '5', '5 m', 'm5', '1d', '5m0', '--5s', '.s', 'forever', '1e3s', '300000000h'])('refuses %j', (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  });
});

describe('formatGoDuration', () => {
  it.each([
    [0, '0s'],
    [300_000, '5m0s'],
    [3_600_000, '1h0m0s'],
    [100, '100ms'],
    [1500, '1.5s'],
    [0.25, '250µs'],
    [0.000007, '7ns'],
    [4_530_918, '1h15m30.918s'],
    [-2000, '-2s'],
  ])('prints %d ms', (milliseconds, text) => {
    expect(formatGoDuration(milliseconds)).toBe(text);
    expect(parseGoDuration(text)).toBe(milliseconds);
  });
});

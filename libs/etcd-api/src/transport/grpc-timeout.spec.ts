import { describe, expect, it } from '@jest/globals';
import { parseGrpcTimeout } from './grpc-timeout.js';

describe('parseGrpcTimeout', () => {
  it.each([
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['4m', 4],
    ['5000u', 5],
    ['6000000n', 6],
    ['0n', 0],
    ['99999999H', 0x7fffffff],
  ])('reads %s as %d ms', (header, ms) => {
    expect(parseGrpcTimeout(header)).toBeCloseTo(ms);
  });

  it.each(['', 'S', '1', '-1S', '1.5S', '123456789S', '1s', ' 1S'])('refuses "%s"', (header) => {
    expect(() => parseGrpcTimeout(header)).toThrow(`malformed grpc-timeout: "${header}"`);
  });
});

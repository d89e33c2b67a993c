import { describe, expect, it } from '@jest/globals';
import { decodeHuffman } from './huffman.js';

function decode(hex: string): string | null {
  const source = Buffer.from(hex, 'hex');
  const target = Buffer.alloc(source.length * 2);
  const length = decodeHuffman(source, 0, source.length, target);
  return length < 0 ? null : target.toString('latin1', 0, length);
}

describe('decodeHuffman', () => {
  it.each([
    ['', ''],
    ['07', '0'],
    ['f1e3c2e5f23a6ba0ab90f4ff', 'www.example.com'],
    // A code of 26 bits, one of 13.
    ['fffffbbf', '\u00ff'],
    ['ffc7', '\u0000'],
    // A whole byte of padding, padding with a zero, EOS.
    ['07ff', null],
    ['06', null],
    ['ffffffff', null],
  ])('decodes %s to %o', (hex, text) => {
    expect(decode(hex)).toBe(text);
  });
});

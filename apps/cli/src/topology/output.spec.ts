import { describe, expect, it } from '@jest/globals';
import { answer, columns, type OutputFormat } from './output.js';
import { RecordedOutput } from './spec/recorded-output.js';

describe('answer', () => {
  const written = (format: OutputFormat): string => {
    const output = new RecordedOutput(format);
    answer(output, { name: 'a', keys: [1, null] }, ['name a', 'two keys']);
    return output.text;
  };

  it('is lines for people', () => expect(written('text')).toBe('name a\ntwo keys'));

  it('is the value for programs', () => {
    expect(JSON.parse(written('json'))).toEqual({ name: 'a', keys: [1, null] });
    expect(written('yaml')).toBe('name: a\nkeys:\n  - 1\n  - null');
  });
});

describe('columns', () => {
  it('aligns what stands below each other, and leaves no space behind a line', () => {
    const rows = [
      ['a', 'long one', ''],
      ['bcd', 'x', 'y'],
    ];
    expect(columns(rows, '  ')).toEqual(['  a    long one', '  bcd  x         y']);
    expect(columns([])).toEqual([]);
  });
});

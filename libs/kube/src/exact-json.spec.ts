import { describe, expect, it } from '@jest/globals';
import { parseExact, stringifyExact } from './exact-json.js';

describe('parseExact', () => {
  it('keeps every digit of a whole number of 64 bits', () => {
    expect(parseExact('[9007199254740991,9007199254740992,9007199254740993,-9007199254740993]')).toEqual([
      9007199254740991,
      9007199254740992n,
      9007199254740993n,
      -9007199254740993n,
    ]);
    expect(parseExact('{"most":9223372036854775807,"least":-9223372036854775808}')).toEqual({
      most: 9223372036854775807n,
      least: -9223372036854775808n,
    });
    expect(parseExact('9007199254740993')).toBe(9007199254740993n);
  });

  it('takes what Go takes for a floating point number for one', () => {
    expect(parseExact('[9223372036854775808,1e20,9007199254740993.0,1234567890123456.5]')).toEqual([
      9223372036854775808, 1e20, 9007199254740992, 1234567890123456.5,
    ]);
  });

  it('leaves everything else as JSON.parse has it', () => {
    const text = '{"a":"9007199254740993","b":[null,true,{"c":0.5}],"__proto__":{"d":1},"e":9007199254740993}';
    const { e, ...rest } = parseExact(text) as Record<string, unknown>;
    const { e: _, ...plain } = JSON.parse(text) as Record<string, unknown>;
    expect(e).toBe(9007199254740993n);
    expect(rest).toEqual(plain);
    expect(Object.hasOwn(rest, '__proto__')).toBe(true);
    expect(() => parseExact('{"a":9007199254740993')).toThrow(SyntaxError);
  });
});

describe('stringifyExact', () => {
  it('writes what was read', () => {
    const text = '{"a":9007199254740993,"b":["9007199254740993",1.5,null],"c":{"d":-9223372036854775808}}';
    expect(stringifyExact(parseExact(text))).toBe(text);
    expect(stringifyExact({ a: 1, b: undefined })).toBe('{"a":1}');
    expect(stringifyExact(5n)).toBe('5');
  });
});

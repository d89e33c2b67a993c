import { describe, expect, it } from '@jest/globals';
import { Redaction } from './redaction.js';

describe('Redaction', () => {
  it('takes every secret out of a text, as often as it is there', () => {
    const redaction = new Redaction(['topsecret', 'other', '']);
    expect(redaction.of('topsecret and other and topsecret')).toBe('[redacted] and [redacted] and [redacted]');
    expect(redaction.of('nothing')).toBe('nothing');
  });

  it('finds a secret that is escaped as in JSON or in a URL', () => {
    const redaction = new Redaction(['a"b c']);
    expect(redaction.of('{"echo":"a\\"b c"} ?echo=a%22b%20c')).toBe('{"echo":"[redacted]"} ?echo=[redacted]');
  });

  it('takes out the longer of two secrets of which one holds the other', () => {
    expect(new Redaction(['key', 'keyboard']).of('keyboard')).toBe('[redacted]');
  });

  it('leaves no beginning of a secret at the end of a text that is cut', () => {
    const redaction = new Redaction(['topsecret']);
    expect(redaction.of('it is topsec', { isCut: true })).toBe('it is ');
    expect(redaction.of('it is topsec')).toBe('it is topsec');
    expect(redaction.of('it is topsecret', { isCut: true })).toBe('it is [redacted]');
  });
});

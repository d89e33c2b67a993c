import { describe, expect, it } from '@jest/globals';
import { passwordProblem } from './password-policy.js';

const RULE = 'must have 8 to 64 characters, among them a small letter, a capital letter, a digit and a special character; it';

describe('passwordProblem', () => {
  it('takes 8 to 64 characters with every kind among them', () => {
    for (const password of ['Aa1!aaaa', `Aa1!${'a'.repeat(60)}`, 'Größe 1 A', `Aa1${'\u{1F600}'.repeat(61)}`, 'Tab\tA1aa'])
      expect(passwordProblem(password)).toBeNull();
  });

  it.each([
    ['Aa1!aaa', 'is too short'],
    [`Aa1!${'a'.repeat(61)}`, 'is too long'],
    ['aaaa1!aaa', 'lacks a capital letter'],
    ['AAAA1!AAA', 'lacks a small letter'],
    ['Aaaa!aaaa', 'lacks a digit'],
    ['Aaaa1aaaa', 'lacks a special character'],
    ['ÁÉ1!áéíóú', 'lacks a small letter and a capital letter'],
    ['Aa1!aaaa\n', 'has a line break'],
    ['', 'is too short and lacks a small letter, a capital letter, a digit and a special character'],
  ])('says what %j lacks', (password, problem) => {
    expect(passwordProblem(password)).toBe(`${RULE} ${problem}`);
  });

  it('shows nothing of the password', () => {
    expect(passwordProblem('Canary')).not.toContain('Canary');
  });
});

import { describe, expect, it } from '@jest/globals';
import { DATA, REFUSALS, TEXTS } from './spec/go-cases.js';
import { Template } from './template.js';

function rendered(text: string, values: unknown = DATA): string {
  return Template.parse(text, { name: 'mail' }).execute(values);
}

describe('Template', () => {
  it.each(TEXTS)('makes of %j what Go makes of it', (text, expected) => {
    expect(rendered(text)).toBe(expected);
  });

  it.each(REFUSALS)('refuses %j in the words of Go', (text, problem) => {
    expect(() => rendered(text)).toThrow(new Error(`template: mail:${problem}`));
  });

  it.each([
    ['{{define "x"}}{{end}}', '{{define}} is not supported here'],
    ['{{template "x"}}', '{{template}} is not supported here'],
    ['{{block "x" .}}{{end}}', '{{block}} is not supported here'],
    ['{{call .x}}', 'function "call" not defined'],
    ['{{2i}}', 'complex numbers such as 2i are not supported here'],
    ['{{0x1p4}}', 'hexadecimal fractions such as 0x1p4 are not supported here'],
    ['{{9223372036854775808}}', 'integer overflow: "9223372036854775808"'],
    ['{{printf "a%xb" 1}}', 'printf "a%xb": %x is not supported here: the verbs are %s %d %v %q %t %f and %%'],
    ['{{printf "%+d" 1}}', 'printf "%+d": %+d is not supported here: the flags are - and 0'],
    ['{{printf "%*d" 1 2}}', 'printf "%*d": %*d is not supported here: a width or precision is a number'],
    ['{{printf "%05s" "a"}}', 'printf "%05s": %05s is not supported here: 0 pads only %d and %f'],
    ['{{printf "%.2q" "a"}}', 'printf "%.2q": %.2q is not supported here: only %s and %f have a precision'],
    ['{{printf "%101d" 1}}', 'printf "%101d": %101d is not supported here: the widest is 100'],
    ['{{printf "%.51f" 1.0}}', 'printf "%.51f": %.51f is not supported here: the highest precision is 50'],
    ['{{printf "%[1]d" 1}}', 'printf "%[1]d": %[ is not supported here: the verbs are %s %d %v %q %t %f and %%'],
    ['{{printf "50%" 1}}', 'printf "50%": % is not supported here: it names no verb'],
  ])('refuses %j by name when it is parsed', (text, problem) => {
    expect(() => Template.parse(text, { name: 'mail' })).toThrow(new Error(`template: mail:1: ${problem}`));
  });

  it('refuses by name a format that is computed', () => {
    const problem = 'template: mail:1:2: executing "mail" at <printf (print "%" "x") 1>: error calling printf: %x is not supported here';
    expect(() => rendered('{{printf (print "%" "x") 1}}')).toThrow(problem);
  });

  it('refuses to cut a character in two', () => {
    expect(() => rendered('{{slice "żółw" 1}}')).toThrow('begin or end inside of a character');
  });

  it('reads a whole number of the data as an integer, any other as a float', () => {
    expect(rendered('{{.whole}} {{.large}} {{.part}}', { whole: 12345678, large: 2 ** 60, part: 0.5 })).toBe(
      '12345678 1.152921504606847e+18 0.5',
    );
  });

  it('does not see what objects inherit', () => {
    expect(rendered('{{.constructor}} {{.__proto__}} {{.toString}}', {})).toBe('<no value> <no value> <no value>');
  });

  it('may be executed again, with nothing left of the time before', () => {
    const template = Template.parse('{{$x := .x}}{{$x}}', { name: 'mail' });
    expect([template.execute({ x: 1 }), template.execute({ x: 2 })]).toEqual(['1', '2']);
  });

  it('refuses data that JSON cannot hold', () => {
    expect(() => rendered('{{.x}}', { x: () => 1 })).toThrow('the data holds a function, which a template cannot use');
  });

  it.each([
    ['loops over a large number', '{{range 1000000000}}{{end}}', 'it takes more than 200000 steps'],
    ['loops in loops', '{{range 100000}}{{range 100000}}{{break}}{{end}}{{end}}', 'it takes more than 200000 steps'],
    ['doubles a text', '{{$x := "xxxxxxxx"}}{{range 100}}{{$x = print $x $x}}{{end}}', 'it takes more than 200000 steps'],
    ['writes without an end', '{{range 100000}}0123456789abcdef{{end}}', 'the output is larger than 1048576 bytes'],
  ])('stops one that %s', (_what, text, problem) => {
    expect(() => rendered(text)).toThrow(problem);
  });

  it.each([
    ['parentheses', `{{${'('.repeat(5000)}`],
    ['blocks', '{{if true}}'.repeat(5000)],
    ['branches', `{{if false}}${'{{else if false}}'.repeat(5000)}{{end}}`],
  ])('refuses a tower of %s', (_what, text) => {
    expect(() => Template.parse(text, { name: 'mail' })).toThrow(
      'template: mail:1: blocks and parentheses are nested deeper than 200 levels',
    );
  });
});

import { describe, expect, it } from '@jest/globals';
import { Template } from './template.js';

const DATA = {
  name: 'ada',
  generation: 3,
  ratio: 1.5,
  none: null,
  text: 'żółw',
  labels: { b: '2', a: '1' },
  users: [
    { name: 'x', tags: ['p', 'q'] },
    { name: 'y', tags: [] },
  ],
};

function rendered(text: string, values: unknown = DATA): string {
  return Template.parse(text, { name: 'mail', functions: 'go' }).execute(values);
}

// What Go itself makes of templates is compared in test/src/go-template; these say the most of it without Go.
describe('Template', () => {
  it.each([
    ['a text', 'a { b } c', 'a { b } c'],
    ['a field', 'Hello {{ .name }}', 'Hello ada'],
    ['trim markers and a comment', 'a \n{{- /* c */ -}}\n b {{- .name }}', 'abada'],
    ['maps in the order of their keys', '{{range $k, $v := .labels}}{{$k}}={{$v}},{{end}}{{.labels}}', 'a=1,b=2,map[a:1 b:2]'],
    ['else if and else with', '{{if 0}}{{else if 1}}b{{end}}{{with ""}}{{else with .name}}{{.}}{{end}}', 'bada'],
    ['break and continue', '{{range 5}}{{if eq . 1}}{{continue}}{{end}}{{if eq . 3}}{{break}}{{end}}{{.}}{{end}}', '02'],
    ['a break in the else of a loop', '{{range 2}}{{range $.none}}{{else}}{{break}}{{end}}{{.}}{{end}}', '01'],
    ['variables', '{{$x := 1}}{{range .users}}{{$x = .name}}{{end}}{{$x}}', 'y'],
    ['a defined template', '{{define "u"}}<{{.name}}>{{end}}{{range .users}}{{template "u" .}}{{end}}', '<x><y>'],
    ['a block', '{{block "u" .users}}{{len .}}{{end}}{{template "u" "żó"}}', '24'],
    ['a template that replaces an empty block', '{{define "u"}} {{end}}{{block "u" .}}full{{end}}', 'full'],
    ['a pipeline', '{{.name | printf "%s-%s" "a" | len}}', '5'],
    ['numbers apart', '{{.generation}} {{.ratio}} {{1e6}} {{1e21}} {{1.0}} {{0x1p4}} {{1+2i}}', '3 1.5 1e+06 1e+21 1 16 (1+2i)'],
    ['a verb that does not fit', '{{printf "%d %s" .ratio .generation}}', '%!d(float64=1.5) %!s(int64=3)'],
    ['values in the syntax of Go', '{{printf "%#v" .labels}}', 'map[string]interface {}{"a":"1", "b":"2"}'],
    ['numbers of values', '{{printf "%[2]*[1]d|%-5[3]s|%08.3[4]f|%+[3]q|%[3]x" 7 3 "é" 3.14159}}', '  7|é    |0003.142|"\\u00e9"|c3a9'],
    ['bytes that make characters', '{{"\\xc3\\xa9"}}{{\'\\xff\'}}', 'é255'],
    ['a part of a text', '{{slice .text 2 4}} {{index .text 0}}', 'ó 197'],
  ])('makes %s', (_what, text, expected) => {
    expect(rendered(text)).toBe(expected);
  });

  it.each([
    ['{{.nope}}', '1:2: executing "mail" at <.nope>: map has no entry for key "nope"'],
    ['{{.none.x}}', '1:7: executing "mail" at <.none.x>: nil pointer evaluating interface {}.x'],
    ['{{.name.x}}', '1:7: executing "mail" at <.name.x>: can\'t evaluate field x in type interface {}'],
    ['a\nż {{len .generation}}', '2:5: executing "mail" at <len .generation>: error calling len: len of type int64'],
    ['{{define "x"}}{{.nope}}{{end}}{{template "x" .}}', '1:16: executing "x" at <.nope>: map has no entry for key "nope"'],
    ['{{template "x"}}', '1:11: executing "mail" at <{{template "x"}}>: template "x" not defined'],
    ['{{gt .ratio 1}}', '1:2: executing "mail" at <gt .ratio 1>: error calling gt: incompatible types for comparison: float64 and int'],
    ['{{call .name}}', '1:2: executing "mail" at <call .name>: error calling call: non-function .name of type string'],
    ['{{18446744073709551615}}', '1:2: executing "mail" at <18446744073709551615>: 18446744073709551615 overflows int'],
    [
      '{{slice .text 1}}',
      '1:2: executing "mail" at <slice .text 1>: error calling slice: the bytes 1 to 7 begin or end inside of a character, which is not supported here',
    ],
  ])('says what is wrong in %j', (text, problem) => {
    expect(() => rendered(text)).toThrow(new Error(`template: mail:${problem}`));
  });

  it.each([
    ['{{nope}}', 'function "nope" not defined'],
    ['{{if true}}', 'unexpected EOF'],
    ['{{define "x"}}a{{end}}{{define "x"}}b{{end}}', 'template: multiple definition of template "x"'],
    ['{{range .users}}{{block "x" .}}{{break}}{{end}}{{end}}', '{{break}} outside {{range}}'],
    ['{{9223372036854775808123}}', 'integer overflow: "9223372036854775808123"'],
    ['{{"\\xff"}}', 'the bytes of "\\xff" are no UTF-8, which is not supported here'],
    ['{{3-}}', 'bad number syntax: "3-"'],
  ])('refuses %j when it is parsed', (text, problem) => {
    expect(() => Template.parse(text, { name: 'mail' })).toThrow(new Error(`template: mail:1: ${problem}`));
  });

  it('has the functions of sprig only where they are asked for', () => {
    expect(() => Template.parse('{{upper "x"}}', { name: 'mail', functions: 'go' })).toThrow('function "upper" not defined');
  });

  it('reads a whole number of the data as an int64, any other as a float64', () => {
    const data = { whole: 12345678, large: 2 ** 60, part: 0.5, exact: 2n ** 60n };
    expect(rendered('{{.whole}} {{.large}} {{.part}} {{.exact}}', data)).toBe('12345678 1.152921504606847e+18 0.5 1152921504606846976');
  });

  it('does not see what objects inherit', () => {
    expect(() => rendered('{{.constructor}}')).toThrow('map has no entry for key "constructor"');
    expect(rendered('{{.__proto__.x}}', JSON.parse('{"__proto__":{"x":1}}'))).toBe('1');
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
    ['calls itself', '{{define "x"}}{{if 1}}{{template "x"}}{{end}}{{end}}{{template "x"}}', 'exceeded maximum template depth (1000)'],
    [
      'pads without an end',
      '{{printf "%1000000d%1000000d%1000000d%1000000d%1000000d" 1 2 3 4 5}}',
      'the text is longer than 4194304 characters',
    ],
  ])('stops one that %s', (_what, text, problem) => {
    expect(() => rendered(text)).toThrow(problem);
  });

  it('is bounded by the limits that it is given', () => {
    const template = Template.parse('{{range 100000}}{{.}}{{end}}', { name: 'mail' });
    expect(() => template.execute({}, { outputBytes: 10 })).toThrow('the output is larger than 10 bytes');
    expect(() => template.execute({}, { steps: 10 })).toThrow('it takes more than 10 steps');
    expect(() => template.execute({}, { milliseconds: 0 })).toThrow('it takes more than 0 milliseconds');
  });

  it.each([
    ['parentheses', `{{${'('.repeat(5000)}`],
    ['blocks', '{{if true}}'.repeat(5000)],
    ['branches', `{{if false}}${'{{else if false}}'.repeat(5000)}{{end}}`],
    ['named blocks', '{{block "x" .}}'.repeat(5000)],
  ])('refuses a tower of %s', (_what, text) => {
    expect(() => Template.parse(text, { name: 'mail' })).toThrow(
      'template: mail:1: blocks and parentheses are nested deeper than 200 levels',
    );
  });
});

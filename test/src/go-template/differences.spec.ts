import { beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, ownAnswer, type TemplateCase } from './template-case.js';
import { answersOfGo } from './template-oracle.js';

/** What is known not to be as in Go, each with Go's answer (a pattern where it changes from run to run) and ours. */
const DIFFERENCES: readonly (readonly [what: string, template: string, ofGo: string | RegExp, ours: string])[] = [
  ['has no addresses', '{{printf "%p" .list}}', /^0x[0-9a-f]+$/, '%!p([]interface {}=[1 2])'],
  [
    'refuses a string constant that is no text',
    '{{len "\\xff"}}',
    '1',
    'template: t:1: the bytes of "\\xff" are no UTF-8, which is not supported here',
  ],
  [
    'does not cut a character in two',
    '{{slice "é" 1 | printf "%x"}}',
    'a9',
    'template: t:1:2: executing "t" at <slice "é" 1>: error calling slice: the bytes 1 to 2 begin or end inside of a character, which is not supported here',
  ],
  [
    'nests less deep',
    `{{${'('.repeat(300)}1${')'.repeat(300)}}}`,
    '1',
    'template: t:1: blocks and parentheses are nested deeper than 200 levels',
  ],
  [
    'runs less deep',
    '{{define "x"}}{{if lt (len .) 2000}}{{template "x" (print . "a")}}{{else}}{{len .}}{{end}}{{end}}{{template "x" ""}}',
    '2000',
    'template: t:1:30: executing "x" at <2000>: exceeded maximum template depth (1000)',
  ],
  [
    'reads no number that is a text of its own',
    `{{len (print ${'0'.repeat(1025)})}}`,
    '1',
    'template: t:1: a number has more than 1024 characters',
  ],
  ['stops', '{{range 300000}}{{end}}', '', 'template: t:1:8: executing "t" at <300000>: it takes more than 200000 steps'],
];

describe('Template, otherwise than text/template,', () => {
  const data = { list: [1, 2] };
  const cases = DIFFERENCES.map(([, template]): TemplateCase => ({ template, data }));
  let answers: readonly Answer[] = [];
  beforeAll(async () => {
    answers = await answersOfGo(cases);
  });

  it.each(DIFFERENCES.map(([what, , ofGo, ours], place) => ({ what, ofGo, ours, place })))('$what', ({ ofGo, ours, place }) => {
    const [answer, one] = [answers[place], cases[place]];
    if (answer === undefined || one === undefined) throw new Error('Go gave fewer answers than there are cases');
    expect(answer.output ?? answer.error).toEqual(typeof ofGo === 'string' ? ofGo : expect.stringMatching(ofGo));
    const own = ownAnswer(one);
    expect(own.output ?? own.error).toBe(ours);
  });
});

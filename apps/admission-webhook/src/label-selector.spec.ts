import { describe, expect, it } from '@jest/globals';
import { labelSelectorProblem } from './label-selector.js';

describe('labelSelectorProblem', () => {
  it.each([
    'tier',
    '!tier',
    ' ! tier ',
    'tier=web',
    'tier = web , env==prod,env!=test',
    'tier=',
    'tier=,env',
    'tier in (web,api)',
    'tier notin ( web , api ),!old',
    'tier in (,web)',
    'in in (in,notin)',
    'example.com/tier=web_1.2-3',
    'size>5,size<-1',
    `${'a'.repeat(63)}=${'b'.repeat(63)}`,
  ])('takes %j', (text) => {
    expect(labelSelectorProblem(text)).toBeNull();
  });

  it.each([
    ['tier in', 'in is followed by values in parentheses'],
    ['tier in web', 'in is followed by values in parentheses'],
    ['tier in ()', 'in is followed by one value at least'],
    ['tier in (web', 'the parenthesis is not closed'],
    ['tier in (web api)', 'a comma is wanted in place of "api"'],
    ['tier web', '"web" is no operator: there are =, ==, !=, in, notin, < and >'],
    ['tier===web', '"=" is no value of a label'],
    ['tier=web api', 'a comma is wanted in place of "api"'],
    ['tier=we/b', '"we/b" is no value of a label'],
    ['tier,', 'the key of a label is missing'],
    [',tier', '"," is no key of a label'],
    ['=web', '"=" is no key of a label'],
    ['!tier=web', 'a comma is wanted in place of "="'],
    ['size>large', '> compares with a whole number, not with "large"'],
    ['size>', '> compares with a whole number, not with ""'],
    ['-tier', '"-tier" is no key of a label'],
    ['Example.com/tier', '"Example.com/tier" is no key of a label'],
    ['a/b/c', '"a/b/c" is no key of a label'],
    [`${'a'.repeat(64)}=b`, 'is no key of a label'],
    [`a=${'b'.repeat(64)}`, 'is no value of a label'],
    ['', 'the key of a label is missing'],
  ])('says what is wrong with %j', (text, problem) => {
    expect(labelSelectorProblem(text)).toContain(problem);
  });
});

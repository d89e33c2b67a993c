import { beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, comparable, ownAnswer, type TemplateCase } from './template-case.js';
import { answersOfGo } from './template-oracle.js';

/** One test a case: that we and Go answer it alike, output or error. */
export function describeAgainstGo(title: string, cases: readonly TemplateCase[]): void {
  describe(title, () => {
    let answers: readonly Answer[] = [];
    beforeAll(async () => {
      answers = await answersOfGo(cases);
    });

    it.each(cases.map((one, place) => [one.template, place, one] as const))('answers %j as Go does', (_template, place, one) => {
      const answer = answers[place];
      if (answer === undefined) throw new Error('Go gave fewer answers than there are cases');
      expect(comparable(ownAnswer(one), one)).toEqual(comparable(answer, one));
    });
  });
}

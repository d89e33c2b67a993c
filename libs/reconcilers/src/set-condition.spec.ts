import { describe, expect, it } from '@jest/globals';
import { setCondition } from './set-condition.js';

const THEN = '2026-01-01T00:00:00Z';
const NOW = new Date('2026-01-02T03:04:05.678Z');

interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number;
}

const ready: Condition = {
  type: 'Ready',
  status: 'False',
  reason: 'Waiting',
  message: 'for it',
  observedGeneration: 1,
  lastTransitionTime: THEN,
};
const other: Condition = { type: 'Other', status: 'True', reason: 'So', message: '', lastTransitionTime: THEN };
const { lastTransitionTime: _time, ...saidOfReady } = ready;

describe('setCondition', () => {
  it('adds the first of its type at the end, with the time in whole seconds', () => {
    expect(setCondition([other], { ...saidOfReady }, NOW)).toEqual([other, { ...ready, lastTransitionTime: '2026-01-02T03:04:05Z' }]);
  });

  it('returns the same array when all is said already', () => {
    const conditions = [ready, other];
    expect(setCondition(conditions, { ...saidOfReady }, NOW)).toBe(conditions);
    expect(setCondition([other], { type: 'Other', status: 'True', reason: 'So', message: '', observedGeneration: undefined }, NOW)).toEqual(
      [other],
    );
  });

  it('keeps the time when only words or the generation change', () => {
    expect(setCondition([ready, other], { ...saidOfReady, message: 'for another', observedGeneration: 2 }, NOW)).toEqual([
      { ...ready, message: 'for another', observedGeneration: 2 },
      other,
    ]);
  });

  it('moves the time when the status flips', () => {
    const [changed] = setCondition([ready, other], { ...saidOfReady, status: 'True', reason: 'Done' }, NOW);
    expect(changed).toEqual({ ...ready, status: 'True', reason: 'Done', lastTransitionTime: '2026-01-02T03:04:05Z' });
  });

  it('drops a generation that is not observed any more', () => {
    const { observedGeneration: _generation, ...unobserved } = saidOfReady;
    expect(setCondition([ready], unobserved, NOW)).toEqual([{ ...unobserved, lastTransitionTime: THEN }]);
  });

  it('changes nothing in what it is given', () => {
    const conditions = Object.freeze([Object.freeze({ ...ready })]);
    setCondition<Condition>(conditions, { ...saidOfReady, status: 'True' }, NOW);
    expect(conditions).toEqual([ready]);
  });
});

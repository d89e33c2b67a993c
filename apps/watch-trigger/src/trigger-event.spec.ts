import { describe, expect, it } from '@jest/globals';
import { eventId } from './trigger-event.js';

const EVENT = { triggerUid: 't', objectUid: 'o', resourceVersion: '12', type: 'ADDED' } as const;

describe('eventId', () => {
  it('is the same for the same event, in this release and the next', () => {
    expect(eventId(EVENT)).toBe('4fdc03ae2153ece1c785cd9ca842e88fe5c2b301eac4d11745490a742170e903');
  });

  it.each([
    [{ triggerUid: 'x' }],
    [{ objectUid: 'x' }],
    [{ resourceVersion: '13' }],
    [{ type: 'MODIFIED' as const }],
    [{ objectUid: 'o12', resourceVersion: '' }],
  ])('is another one with %j', (part) => {
    expect(eventId({ ...EVENT, ...part })).not.toBe(eventId(EVENT));
  });
});

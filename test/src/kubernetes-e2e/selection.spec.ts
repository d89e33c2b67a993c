import { describe, expect, it } from '@jest/globals';
import { selectSpecs } from './selection.js';

describe('the selection of specs', () => {
  it('refuses a list that fits no spec', () => {
    expect(() => selectSpecs([], { isShort: false })).toThrow('AdmissionWebhook');
  });
});

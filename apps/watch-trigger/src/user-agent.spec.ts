import { expect, it } from '@jest/globals';
import { USER_AGENT } from './user-agent.js';

it('names product and version', () => {
  expect(USER_AGENT).toMatch(/^harikube-watch-trigger\/\d+\.\d+\.\d+$/);
});

import { describe, expect, it } from '@jest/globals';
import type { HealthCheck } from '@harikube/platform';
import { healthAnswer } from './server-health.js';

const good: HealthCheck = { name: 'good', isCritical: true, check: () => undefined };
const bad: HealthCheck = {
  name: 'bad',
  isCritical: true,
  check: () => {
    throw new Error('the password is secret');
  },
};

function ask(checks: HealthCheck[], query = '', single = ''): ReturnType<typeof healthAnswer> {
  return healthAnswer('readyz', single, checks, new URLSearchParams(query), new AbortController().signal);
}

describe('healthAnswer', () => {
  it('is ok, or a line for each check', async () => {
    expect(await ask([good])).toEqual({ code: 200, text: 'ok' });
    expect(await ask([good], 'verbose')).toEqual({ code: 200, text: '[+]ping ok\n[+]good ok\nreadyz check passed\n' });
    expect(await ask([good, bad])).toEqual({
      code: 500,
      text: '[+]ping ok\n[+]good ok\n[-]bad failed: reason withheld\nreadyz check failed\n',
    });
  });

  it('leaves out what is excluded, and looks at one when one is asked for', async () => {
    expect(await ask([good, bad], 'exclude=bad&exclude=other')).toEqual({ code: 200, text: 'ok' });
    expect(await ask([good, bad], '', 'good')).toEqual({ code: 200, text: 'ok' });
    expect((await ask([good, bad], '', 'bad'))?.code).toBe(500);
    expect(await ask([good], '', 'none')).toBeNull();
  });
});

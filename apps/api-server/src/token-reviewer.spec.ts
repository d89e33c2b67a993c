import { describe, expect, it } from '@jest/globals';
import { type KubeObject, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { KeptLog } from './spec/kept-log.js';
import { TokenReviewer } from './token-reviewer.js';

const signal = new AbortController().signal;

describe('TokenReviewer', () => {
  it('asks whose a token is, and knows it for ten seconds', async () => {
    const clock = new FakeClock();
    let asked = 0;
    const client = {
      create: async <T extends KubeObject>(_: unknown, object: T): Promise<T> => {
        asked++;
        return { ...object, status: { authenticated: true, user: { username: 'jane', groups: ['g'] } } };
      },
    };
    const reviewer = new TokenReviewer({ client, logger: new KeptLog(), clock });
    const jane = { name: 'jane', uid: '', groups: ['g'], extra: {} };
    expect(await reviewer.review('t', signal)).toEqual(jane);
    expect(await reviewer.review('t', signal)).toEqual(jane);
    expect(asked).toBe(1);
    await clock.advance(10_000);
    await reviewer.review('t', signal);
    expect(asked).toBe(2);
  });

  it('takes a token that it cannot ask about for nobody’s, and keeps it out of the log', async () => {
    const logger = new KeptLog();
    const client = {
      create: async (): Promise<never> => {
        throw new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code: 403, message: 'no' });
      },
    };
    expect(await new TokenReviewer({ client, logger }).review('secret-token', signal)).toBeNull();
    expect(JSON.stringify(logger.lines)).toContain('a token could not be reviewed');
    expect(JSON.stringify(logger.lines)).not.toContain('secret-token');
  });

  it('takes a no, and an answer without a name, for a no', async () => {
    for (const status of [{ authenticated: false, user: { username: 'jane' } }, { authenticated: true, user: {} }, undefined]) {
      const client = { create: async <T extends KubeObject>(_: unknown, object: T): Promise<T> => ({ ...object, status }) };
      expect(await new TokenReviewer({ client, logger: new KeptLog() }).review('t', signal)).toBeNull();
    }
  });
});

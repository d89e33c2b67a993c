import { describe, expect, it } from '@jest/globals';
import { ConnectionError, type KubeObject, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { Authorizer } from './authorization.js';
import { requestInfo } from './request-info.js';
import type { UserInfo } from './user-info.js';

const jane: UserInfo = { name: 'jane', uid: 'u', groups: ['g'], extra: { b: ['2'], a: ['1'] } };
const PATH = '/apis/api.product.webshop.harikube.info/v1/registrations';

/** Answers reviews, and remembers what it was asked. */
class Reviews {
  readonly asked: unknown[] = [];
  answer: () => object = () => ({ allowed: true });

  async create<T extends KubeObject>(_resource: unknown, object: T): Promise<T> {
    this.asked.push((object as unknown as { spec: unknown }).spec);
    return { ...object, status: this.answer() };
  }
}

function setUp(): { reviews: Reviews; clock: FakeClock; may: (method: string, target: string, user?: UserInfo) => Promise<string> } {
  const reviews = new Reviews();
  const clock = new FakeClock();
  const authorizer = new Authorizer({ client: reviews, allowedMs: 10_000, deniedMs: 10_000, clock });
  const may = async (method: string, target: string, user = jane): Promise<string> => {
    try {
      await authorizer.authorize(user, requestInfo(method, target), new AbortController().signal);
      return 'yes';
    } catch (error) {
      return error instanceof StatusError ? `${error.code} ${error.message}` : String(error);
    }
  };
  return { reviews, clock, may };
}

describe('Authorizer', () => {
  it('asks with everything that is known of the user and of what he wants', async () => {
    const { reviews, may } = setUp();
    expect(await may('POST', `${PATH}/x?dryRun=All`)).toBe('yes');
    expect(await may('GET', '/version')).toBe('yes');
    expect(reviews.asked).toEqual([
      {
        ...{ user: 'jane', uid: 'u', groups: ['g'], extra: { a: ['1'], b: ['2'] } },
        resourceAttributes: {
          group: 'api.product.webshop.harikube.info',
          version: 'v1',
          resource: 'registrations',
          name: 'x',
          verb: 'create',
        },
      },
      { user: 'jane', uid: 'u', groups: ['g'], extra: { a: ['1'], b: ['2'] }, nonResourceAttributes: { path: '/version', verb: 'get' } },
    ]);
  });

  it('remembers a yes and a no for as long as they hold', async () => {
    const { reviews, clock, may } = setUp();
    await may('POST', PATH);
    await may('POST', PATH);
    reviews.answer = () => ({ allowed: false });
    await may('GET', '/version');
    await may('GET', '/version');
    expect(reviews.asked).toHaveLength(2);
    await clock.advance(10_001);
    expect(await may('POST', PATH)).toContain('403');
    expect(reviews.asked).toHaveLength(3);
  });

  it('says no as kube-apiserver says it', async () => {
    const { reviews, may } = setUp();
    reviews.answer = () => ({ allowed: true, denied: true });
    const group = 'api.product.webshop.harikube.info';
    expect(await may('POST', `${PATH}/x`)).toBe(
      `403 registrations.${group} "x" is forbidden: User "jane" cannot create resource "registrations" in API group "${group}" at the cluster scope`,
    );
    expect(await may('GET', PATH)).toContain(`403 registrations.${group} is forbidden: User "jane" cannot list resource`);
    expect(await may('GET', '/a%3Cb%3E&amp')).toBe('403 forbidden: User "jane" cannot get path "/a&lt;b&gt;&amp;amp"');
  });

  it('asks nobody about the masters', async () => {
    const { reviews, may } = setUp();
    expect(await may('GET', '/metrics', { ...jane, groups: ['system:masters'] })).toBe('yes');
    expect(reviews.asked).toEqual([]);
  });

  it('allows nothing when nobody can say, after it has asked several times', async () => {
    const { reviews, clock, may } = setUp();
    reviews.answer = () => {
      throw new ConnectionError('refused');
    };
    const asked = may('POST', PATH);
    await clock.timerIn(500, 600);
    await clock.advance(10_000);
    expect(await asked).toBe('500 Internal error occurred: it cannot be found out whether this is allowed');
    expect(reviews.asked).toHaveLength(5);
  });
});

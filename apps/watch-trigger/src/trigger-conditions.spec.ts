import { describe, expect, it } from '@jest/globals';
import { ConnectionError, type KubeObject, type Resource, type Status, StatusError } from '@harikube/kube';
import { NotAPositionError } from './position.js';
import { conditionsOf, type TriggerView, watchProblem } from './trigger-conditions.js';

const GOOD: TriggerView = { suspended: null, watchProblem: null, isFollowing: true, deliveryProblem: null, gap: null };
const PROBLEM = { reason: 'Because', message: 'it is so' };

function said(view: Partial<TriggerView>): Record<string, string> {
  return Object.fromEntries(conditionsOf({ ...GOOD, ...view }).map(({ type, status, reason }) => [type, `${status} ${reason}`]));
}

describe('conditionsOf', () => {
  it.each<[string, Partial<TriggerView>, Record<string, string>]>([
    ['works', {}, { Ready: 'True Ready', Watching: 'True Watching', Delivering: 'True Delivering', Suspended: 'False Active' }],
    [
      'begins',
      { isFollowing: false },
      { Ready: 'False Starting', Watching: 'False Starting', Delivering: 'True Delivering', Suspended: 'False Active' },
    ],
    [
      'cannot watch',
      { watchProblem: PROBLEM },
      { Ready: 'False Because', Watching: 'False Because', Delivering: 'True Delivering', Suspended: 'False Active' },
    ],
    [
      'cannot deliver',
      { deliveryProblem: PROBLEM },
      { Ready: 'False Because', Watching: 'True Watching', Delivering: 'False Because', Suspended: 'False Active' },
    ],
    [
      'is suspended',
      { suspended: PROBLEM, deliveryProblem: { ...PROBLEM, reason: 'Other' } },
      { Ready: 'False Because', Watching: 'False Because', Delivering: 'False Because', Suspended: 'True Because' },
    ],
    [
      'missed changes',
      { gap: PROBLEM },
      {
        Ready: 'True Ready',
        Watching: 'True Watching',
        Delivering: 'True Delivering',
        Suspended: 'False Active',
        GapDetected: 'True Because',
      },
    ],
  ])('says of a trigger that %s what it does', (_, view, expected) => {
    expect(said(view)).toEqual(expected);
  });
});

describe('watchProblem', () => {
  const orders: Resource<KubeObject> = { group: 'shop.example', version: 'v1', kind: 'Order', plural: 'orders', namespaced: true };
  const failure = (code: number, message: string): StatusError =>
    new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, message } satisfies Status);

  it.each([
    ['Forbidden', failure(403, 'no'), {}],
    ['ResourceNotFound', failure(404, 'no'), {}],
    ['SelectorRefused', failure(400, 'field label not supported'), { fieldSelector: 'spec.x=1' }],
    ['SelectorRefused', failure(422, 'unable to parse requirement'), { labelSelector: '==' }],
    ['WatchFailed', failure(400, 'no'), {}],
    ['WatchFailed', failure(503, 'no'), { fieldSelector: 'spec.x=1' }],
    ['WatchFailed', new ConnectionError('refused'), {}],
    ['VersionsWithoutOrder', new NotAPositionError('abc'), {}],
  ])('is %s', (reason, error, selectors) => {
    expect(watchProblem(error, { resource: orders, ...selectors }).reason).toBe(reason);
  });

  it('names the right that is missing, and how to give it', () => {
    const { message } = watchProblem(failure(403, 'User "x" cannot'), { resource: orders, namespace: 'acme' });
    expect(message).toContain('get, list and watch orders.shop.example in namespace acme');
    expect(message).toContain('triggers.harikube.info/aggregate-to-watch-trigger: "true"');
    expect(watchProblem(failure(403, ''), { resource: orders }).message).toContain('in all namespaces');
  });
});

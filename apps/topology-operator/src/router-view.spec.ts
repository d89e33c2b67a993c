import { describe, expect, it } from '@jest/globals';
import { RouterAdminError, type RouterTopologyState } from '@harikube/platform';
import { reportOf, type RouterView, viewOfRouter } from './router-view.js';

const TARGET = { namespace: 'harikube', name: 'topology-config' };
const backend = { name: 'a', endpoint: '', isReady: true, problem: '', keys: 1, bytes: 1 };
const state = (source: string | null): RouterTopologyState => ({
  version: 'v',
  source,
  sourceVersion: null,
  inForceSince: '',
  document: '',
  backends: [backend, { ...backend, name: 'b', retiredAt: '7' }],
});

const view = (answer: RouterTopologyState | Error): Promise<RouterView> =>
  viewOfRouter(
    { topology: () => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)) },
    TARGET,
    new AbortController().signal,
  );

describe('viewOfRouter', () => {
  it.each([null, 'secret://harikube/topology-config', '/etc/topology'])('sees a router that reads %j', async (source) => {
    expect(await view(state(source))).toEqual({ kind: 'seen', state: state(source) });
  });

  it('takes a router that reads another Secret for none', async () => {
    expect(await view(state('secret://other/topology-config'))).toMatchObject({
      kind: 'none',
      message: expect.stringContaining('reads secret://other/topology-config'),
    });
  });

  it('names the flag that is missing', async () => {
    expect(await viewOfRouter(null, TARGET, new AbortController().signal)).toEqual({
      kind: 'none',
      message: 'nobody says what the router has in force: --router-admin-url is not set',
    });
  });

  it('says why it cannot be reached, and passes on what it does not expect', async () => {
    expect(await view(new RouterAdminError('nothing listens there', null))).toEqual({
      kind: 'unreachable',
      message: 'nothing listens there',
    });
    await expect(view(new Error('a fault'))).rejects.toThrow('a fault');
  });
});

describe('reportOf', () => {
  it('finds what is in force, and nothing that only answers for the past', () => {
    expect(reportOf(state(null), 'a')).toEqual(backend);
    expect(reportOf(state(null), 'b')).toBeUndefined();
    expect(reportOf(state(null), 'c')).toBeUndefined();
  });
});

import { describe, expect, it } from '@jest/globals';
import { PathError, requestInfo } from './request-info.js';

const ROOT = '/apis/g/v1';

describe('requestInfo', () => {
  it('reads resources, names, subresources and namespaces', () => {
    expect(requestInfo('POST', `${ROOT}/registrations?dryRun=All`)).toMatchObject({
      path: `${ROOT}/registrations`,
      verb: 'create',
      resource: { group: 'g', version: 'v1', namespace: '', resource: 'registrations', name: '', subresource: '' },
    });
    expect(requestInfo('POST', `${ROOT}/registrations/a%20b/status`).resource).toMatchObject({ name: 'a b', subresource: 'status' });
    expect(requestInfo('GET', `${ROOT}/namespaces/n/things/x`).resource).toMatchObject({ namespace: 'n', resource: 'things', name: 'x' });
    expect(requestInfo('GET', `${ROOT}/namespaces/n`).resource).toMatchObject({ namespace: '', resource: 'namespaces', name: 'n' });
  });

  it('finds the verb', () => {
    const verb = (method: string, tail: string): string => requestInfo(method, `${ROOT}/r${tail}`).verb;
    expect(['', '/x', '?watch', '?watch=1', '?watch=false', '?watch=0'].map((tail) => verb('GET', tail))).toEqual([
      ...['list', 'get', 'watch', 'watch', 'list', 'list'],
    ]);
    expect([
      verb('DELETE', ''),
      verb('DELETE', '/x'),
      verb('PUT', '/x'),
      verb('PATCH', '/x'),
      verb('HEAD', '/x'),
      verb('TRACE', '/x'),
    ]).toEqual([...['deletecollection', 'delete', 'update', 'patch', 'get', 'trace']]);
    expect(requestInfo('GET', '/version')).toMatchObject({ verb: 'get', resource: null });
  });

  it('finds no resource behind empty, dotted and hidden segments', () => {
    for (const path of [
      '/',
      '//',
      `/${ROOT}/r`,
      `${ROOT}//r`,
      `${ROOT}/r/`,
      `${ROOT}/./r`,
      `${ROOT}/r/..`,
      `${ROOT}/r/%2e%2e`,
      'apis/g/v1/r',
      ROOT,
    ])
      expect(requestInfo('GET', path).resource).toBeNull();
  });

  it('refuses what cannot be a path', () => {
    for (const path of ['/%', '/%zz', '/a%00b', '/a%0ab', `${ROOT}/r%2Fx`]) expect(() => requestInfo('GET', path)).toThrow(PathError);
  });
});

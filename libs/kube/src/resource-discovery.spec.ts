import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KubeClient } from './kube-client.js';
import { NoSuchKindError, ResourceDiscovery } from './resource-discovery.js';
import { ApiServerDouble } from './spec/api-server-double.js';
import { FakeClock } from './spec/fake-clock.js';
import { StatusError } from './status-error.js';

const ALL = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];
const CORE = [
  { name: 'bindings', singularName: '', namespaced: true, kind: 'Binding', verbs: ['create'] },
  { name: 'namespaces', singularName: '', namespaced: false, kind: 'Namespace', verbs: ALL },
  { name: 'pods', singularName: '', namespaced: true, kind: 'Pod', verbs: ALL },
  { name: 'pods/status', singularName: '', namespaced: true, kind: 'Pod', verbs: ['get', 'patch', 'update'] },
];
const OXEN = [{ name: 'oxen', singularName: 'ox', namespaced: true, kind: 'Ox', verbs: ALL }];
const listOf = (resources: object[]): object => ({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: 'v1', resources });

let server: ApiServerDouble;
let client: KubeClient;
let clock: FakeClock;
let discovery: ResourceDiscovery;
/** What the API serves, by path, and which paths were asked for. */
let served: Record<string, object[]>;
let asked: string[];

beforeEach(async () => {
  server = await ApiServerDouble.start();
  clock = new FakeClock();
  client = KubeClient.fromConfig({ userAgent: 'spec/1', kubeconfig: await server.kubeconfig() });
  discovery = new ResourceDiscovery(client, { clock });
  served = { '/api/v1': CORE };
  asked = [];
  server.respond = (exchange) => {
    const resources = served[exchange.path];
    asked.push(exchange.path);
    if (resources === undefined) exchange.fail(404, 'NotFound');
    else exchange.answer(200, listOf(resources));
    return true;
  };
});

afterEach(async () => {
  await client.close();
  await server.close();
});

describe('ResourceDiscovery', () => {
  it('has plural and scope from the API server', async () => {
    served['/apis/farm.example.com/v1beta1'] = OXEN;
    expect(await discovery.resolve('farm.example.com/v1beta1', 'Ox')).toEqual({
      group: 'farm.example.com',
      version: 'v1beta1',
      kind: 'Ox',
      plural: 'oxen',
      namespaced: true,
    });
    expect(await discovery.resolve('v1', 'Namespace')).toMatchObject({ group: '', version: 'v1', plural: 'namespaces', namespaced: false });
    expect(await discovery.resolve('v1', 'Pod')).toMatchObject({ plural: 'pods', namespaced: true });
  });

  it('says in a sentence why a kind is of no use', async () => {
    const refused = (apiVersion: string, kind: string): Promise<unknown> =>
      discovery.resolve(apiVersion, kind).catch((error: unknown) => error);
    for (const [apiVersion, kind, message] of [
      ['v1', 'Cat', 'the API server knows no kind Cat of v1'],
      ['v1', 'pods', 'the API server knows no kind pods of v1; it has Pod'],
      ['v1', 'Binding', 'objects of the kind Binding of v1 cannot be watched'],
      ['farm.example.com/v1', 'Ox', 'the API server does not serve farm.example.com/v1, which the kind Ox is to be of'],
      ['a/b/c', 'Ox', '"a/b/c" is no apiVersion: it is a version as in v1, or a group and a version as in apps/v1'],
      ['../v1', 'Ox', expect.stringContaining('is no apiVersion')],
    ]) {
      const error = await refused(String(apiVersion), String(kind));
      expect(error).toBeInstanceOf(NoSuchKindError);
      expect((error as Error).message).toEqual(message);
    }
    expect(asked).toEqual(['/api/v1', '/api/v1', '/api/v1', '/apis/farm.example.com/v1']);
  });

  it('knows a kind for ten minutes', async () => {
    await discovery.resolve('v1', 'Pod');
    await clock.advance(599_999);
    await discovery.resolve('v1', 'Pod');
    expect(asked).toHaveLength(1);
    await clock.advance(1);
    await discovery.resolve('v1', 'Pod');
    expect(asked).toHaveLength(2);
  });

  it('asks for a kind that was not there every two seconds at most, and finds it when it has come', async () => {
    await expect(discovery.resolve('farm.example.com/v1', 'Ox')).rejects.toThrow(NoSuchKindError);
    served['/apis/farm.example.com/v1'] = OXEN;
    await clock.advance(1999);
    await expect(discovery.resolve('farm.example.com/v1', 'Ox')).rejects.toThrow(NoSuchKindError);
    expect(asked).toHaveLength(1);
    await clock.advance(1);
    expect(await discovery.resolve('farm.example.com/v1', 'Ox')).toMatchObject({ plural: 'oxen' });
  });

  it('asks again for what it was told to forget', async () => {
    await discovery.resolve('v1', 'Pod');
    served['/api/v1'] = [];
    discovery.forget('v1', 'Pod');
    await expect(discovery.resolve('v1', 'Pod')).rejects.toThrow(NoSuchKindError);
  });

  it('asks once for everybody who waits, of whom one can go', async () => {
    server.respond = () => false;
    const gone = new AbortController();
    const pods = discovery.resolve('v1', 'Pod', gone.signal);
    const namespaces = discovery.resolve('v1', 'Namespace');
    const exchange = await server.next();
    gone.abort(new Error('no longer wanted'));
    await expect(pods).rejects.toThrow('no longer wanted');
    exchange.answer(200, listOf(CORE));
    expect(await namespaces).toMatchObject({ plural: 'namespaces' });
    expect(server.waiting).toBe(0);
    await expect(discovery.resolve('v1', 'Namespace', gone.signal)).rejects.toThrow('no longer wanted');
  });

  it('keeps no failure of the API server', async () => {
    server.respond = (exchange) => {
      exchange.fail(503, 'ServiceUnavailable');
      return true;
    };
    await expect(discovery.resolve('v1', 'Pod')).rejects.toThrow(StatusError);
    server.respond = (exchange) => {
      exchange.answer(200, listOf(CORE));
      return true;
    };
    expect(await discovery.resolve('v1', 'Pod')).toMatchObject({ plural: 'pods' });
  });
});

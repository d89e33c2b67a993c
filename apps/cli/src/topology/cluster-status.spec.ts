import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ApiServerDouble, type Exchange } from '@harikube/kube/api-server-double';
import { clusterStatus } from './cluster-status.js';
import { RecordedOutput } from './spec/recorded-output.js';
import { topologyConfig } from './spec/topology-config-double.js';

const LIST = '/apis/harikube.info/v1/topologyconfigs';

let server: ApiServerDouble;
let kubeconfig: string;
let output: RecordedOutput;

beforeEach(async () => {
  server = await ApiServerDouble.start();
  kubeconfig = await server.kubeconfig();
  output = new RecordedOutput();
});
afterEach(() => server.close());

/** The exit code, when the API server has these. */
async function status(items: readonly object[], namespace?: string): Promise<{ code: number; asked: Exchange }> {
  const call = clusterStatus({ kubeconfig, namespace }, {}, output);
  const asked = await server.next();
  asked.answer(200, { metadata: {}, items });
  return { code: await call, asked };
}

describe('clusterStatus', () => {
  it('shows the TopologyConfigs of every namespace, those of a target in their order', async () => {
    const items = [
      topologyConfig('b', { status: { deployOrder: 12 } }),
      topologyConfig('a'),
      topologyConfig('c', { spec: { targetSecret: 'a/b' }, metadata: { namespace: 'elsewhere' } }),
    ];
    const { code, asked } = await status(items);
    expect([code, asked.path]).toEqual([0, LIST]);
    expect(output.lines).toEqual([
      'a/b:',
      '  1  elsewhere/c  Active',
      '       c  3 keys, 30 B',
      'harikube/topology-config:',
      '  1   harikube/a  Active',
      '       a  3 keys, 30 B',
      '  12  harikube/b  Active',
      '       b  3 keys, 30 B',
    ]);
  });

  it('says why one is not in force, and what other databases of it hold', async () => {
    const backends = [{ name: 'gone', keys: 1 }];
    const held = topologyConfig('a', { status: { deployStatus: 'Held', deployStatusReason: '5 keys\nare in the way', backends } });
    expect((await status([held, topologyConfig('b')])).code).toBe(3);
    expect(output.lines.slice(1, 4)).toEqual([
      '  1  harikube/a  Held    5 keys; are in the way',
      '       a     keys not known',
      '       gone  1 key',
    ]);
  });

  it.each([
    ['has an error', { status: { deployStatus: 'Error' } }, 'Error'],
    [
      'has no status yet',
      { status: { deployStatus: 'Pending', observedGeneration: undefined } },
      'Pending  its last change has not been judged yet',
    ],
    ['was changed a moment ago', { metadata: { generation: 3 } }, 'Active  its last change has not been judged yet'],
    ['is being deleted', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 'Active  being deleted'],
    [
      'was held, and changed',
      { metadata: { generation: 3 }, status: { deployStatus: 'Held' } },
      'Held  its last change has not been judged yet',
    ],
  ])('is wrong while one %s', async (_what, more, shown) => {
    expect((await status([topologyConfig('a', more)])).code).toBe(1);
    expect(output.lines[1]).toBe(`  1  harikube/a  ${shown}`);
  });

  it('shows one that the operator has never seen', async () => {
    const { status: _none, ...fresh } = topologyConfig('a');
    expect((await status([fresh])).code).toBe(1);
    expect(output.lines[1]).toBe('  -  harikube/a  Pending  its last change has not been judged yet');
  });

  it('asks one namespace when it is told to, and says that there is nothing', async () => {
    const { code, asked } = await status([], 'shop');
    expect([code, asked.path]).toEqual([0, '/apis/harikube.info/v1/namespaces/shop/topologyconfigs']);
    expect(output.lines).toEqual(['there is no TopologyConfig in the namespace shop']);
  });

  it('gives a program all of it', async () => {
    output = new RecordedOutput('json');
    await status([topologyConfig('a')]);
    expect(JSON.parse(output.text)).toEqual({
      configs: [
        {
          namespace: 'harikube',
          name: 'a',
          target: 'harikube/topology-config',
          order: 1,
          status: 'Active',
          reason: '',
          isCurrent: true,
          isBeingDeleted: false,
          conditions: [],
          backends: [{ name: 'a', keys: 3, bytes: 30 }],
        },
      ],
    });
  });

  it('says that the kind is not installed', async () => {
    const call = clusterStatus({ kubeconfig }, {}, output);
    (await server.next()).fail(404, 'NotFound');
    await expect(call).rejects.toThrow('knows no TopologyConfig: install the CustomResourceDefinition topologyconfigs.harikube.info first');
  });

  it('says that the cluster refuses, and that it does not answer', async () => {
    const refused = clusterStatus({ kubeconfig }, {}, output);
    (await server.next()).fail(403, 'Forbidden', 'user "eve" cannot list topologyconfigs');
    await expect(refused).rejects.toThrow('the server refuses (Forbidden): user "eve" cannot list topologyconfigs');
    const { port } = server;
    await server.stop();
    await expect(clusterStatus({ kubeconfig }, {}, output)).rejects.toThrow(
      `the API server at http://127.0.0.1:${port} does not answer: connect ECONNREFUSED 127.0.0.1:${port}`,
    );
  });

  it('reads the kubeconfig of the environment', async () => {
    const call = clusterStatus({}, { KUBECONFIG: kubeconfig }, output);
    const asked = await server.next();
    asked.answer(200, { metadata: {}, items: [] });
    expect(await call).toBe(0);
    expect(asked.headers['user-agent']).toMatch(/^kubectl-harikube\/\d/);
  });
});

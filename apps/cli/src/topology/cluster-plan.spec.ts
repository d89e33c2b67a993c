import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ApiServerDouble, type Exchange, failure } from '@harikube/kube/api-server-double';
import { clusterPlan } from './cluster-plan.js';
import { RecordedOutput } from './spec/recorded-output.js';
import { topologyConfig } from './spec/topology-config-double.js';

const PLACE = '/apis/harikube.info/v1/namespaces/harikube/topologyconfigs';
const DRY_RUN = { dryRun: 'All', fieldManager: 'kubectl-harikube', fieldValidation: 'Strict' };
const HELD =
  '7 keys (70 bytes) in "main", such as /registry/as/x, would have to be in "a", and would not be found any more: delete these objects first';

let server: ApiServerDouble;
let kubeconfig: string;
let file: string;
let output: RecordedOutput;
let asked: Exchange[];
/** What the cluster has, by name. */
let live: Record<string, object>;
/** What is answered to a dry-run, by name; else what was sent. */
let verdicts: Record<string, (exchange: Exchange) => void>;

beforeEach(async () => {
  server = await ApiServerDouble.start();
  kubeconfig = await server.kubeconfig();
  file = await server.file('configs.yaml', '');
  output = new RecordedOutput();
  [asked, live, verdicts] = [[], {}, {}];
  server.respond = (exchange) => {
    asked.push(exchange);
    const sent = exchange.body as { readonly metadata?: { readonly name?: string } } | null;
    const name = exchange.method === 'POST' ? (sent?.metadata?.name ?? '') : (exchange.path.split('/').at(-1) ?? '');
    if (exchange.method === 'GET') {
      const object = live[name];
      if (object === undefined) exchange.fail(404, 'NotFound');
      else exchange.answer(200, object);
    } else (verdicts[name] ?? accept)(exchange);
    return true;
  };
});
afterEach(() => server.close());

/** RFC 7396. */
function merged(value: object, patch: object): object {
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const [key, entry] of Object.entries(patch) as [string, unknown][]) {
    const before = fields.get(key);
    const isObject = typeof entry === 'object' && entry !== null && !Array.isArray(entry);
    if (entry === null) fields.delete(key);
    else fields.set(key, isObject ? merged(typeof before === 'object' && before !== null ? before : {}, entry) : entry);
  }
  return Object.fromEntries(fields);
}

/** Answers with the object that would be there. */
function accept(exchange: Exchange): void {
  const sent = exchange.body as object;
  const before = exchange.method === 'PATCH' ? live[exchange.path.split('/').at(-1) ?? ''] : {};
  exchange.answer(200, merged(before ?? {}, sent));
}

/** Without what the server adds. */
function written(name: string, more: { readonly spec?: object; readonly metadata?: object } = {}): object {
  const { apiVersion, kind, spec } = topologyConfig(name, more);
  return { apiVersion, kind, metadata: { name, namespace: 'harikube', ...more.metadata }, spec };
}

async function plan(...objects: object[]): Promise<number> {
  writeFileSync(file, objects.map((object) => JSON.stringify(object)).join('\n---\n'));
  return await clusterPlan([file], { kubeconfig }, {}, output);
}

describe('clusterPlan', () => {
  it('lets the server judge each object, in deploy order, and changes nothing', async () => {
    const pinned = written('b', {
      metadata: { annotations: { 'harikube.info/deployOrder': '1' }, uid: 'u', managedFields: [], resourceVersion: '4' },
    });
    expect(await plan(written('a'), pinned)).toBe(0);
    expect(asked.map(({ method, path }) => [method, path])).toEqual([
      ['GET', `${PLACE}/b`],
      ['POST', PLACE],
      ['GET', `${PLACE}/a`],
      ['POST', PLACE],
    ]);
    for (const { query } of asked.filter(({ method }) => method === 'POST')) expect(query).toEqual(DRY_RUN);
    const metadata = { name: 'b', namespace: 'harikube', labels: {}, annotations: { 'harikube.info/deployOrder': '1' } };
    expect(asked[1]?.body).toEqual({ ...written('b'), metadata });
    expect(output.lines).toEqual(['harikube/b: would be created', '  add  b', 'harikube/a: would be created', '  add  a']);
  });

  it('asks for what kubectl apply would do to an object that is there', async () => {
    const last = {
      metadata: { labels: { kept: '1', gone: '1' }, annotations: { 'harikube.info/deployOrder': '1' } },
      spec: { targetSecret: 'x/y' },
    };
    const annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(last),
      'harikube.info/deployOrder': '1',
      byHand: '1',
    };
    live['a'] = topologyConfig('a', { metadata: { annotations, labels: { kept: '1', gone: '1' } } });
    const { backends } = topologyConfig('a').spec;
    const object = { ...written('a', { metadata: { labels: { kept: '2' } } }), spec: { backends } };
    expect(await plan(object)).toBe(0);
    expect(asked[1]).toMatchObject({ method: 'PATCH', path: `${PLACE}/a`, query: DRY_RUN });
    expect(asked[1]?.headers['content-type']).toBe('application/merge-patch+json');
    expect(asked[1]?.body).toEqual({
      metadata: { labels: { gone: null, kept: '2' }, annotations: { 'harikube.info/deployOrder': null } },
      spec: { targetSecret: null, backends },
    });
    expect(output.lines).toEqual([
      'harikube/a: would be changed (metadata.labels[kept], metadata.labels[gone], metadata.annotations[harikube.info/deployOrder], spec.targetSecret)',
    ]);
  });

  it('says what differs from the object that is there', async () => {
    const backend = (name: string, more: object = {}): object => ({
      name,
      endpoint: `sqlite:///${name}.db`,
      prefix: { prefix: `${name}s` },
      ...more,
    });
    live['a'] = topologyConfig('a', { spec: { backends: [backend('x'), backend('y'), backend('z')] } });
    live['b'] = topologyConfig('b');
    const next = [backend('z'), backend('x', { compactMinRetain: 20, endpoint: 'sqlite:///other.db' }), backend('w')];
    expect(await plan(written('a', { spec: { backends: next } }), written('b'))).toBe(0);
    expect(output.lines).toEqual([
      'harikube/a: would be changed',
      '  remove   y',
      '  change   x  endpoint, compactMinRetain',
      '  add      w',
      '  reorder  z',
      '  reorder  x',
      'harikube/b: would be unchanged',
    ]);
  });

  it('shows what is warned of, beside the object that it is about', async () => {
    verdicts['a'] = (exchange) => exchange.answer(200, exchange.body as object, { warning: '299 - "the router cannot be reached"' });
    expect(await plan(written('a'), written('b'))).toBe(0);
    expect(output.lines.slice(0, 3)).toEqual(['harikube/a: would be created', '  add  a', '  warning: the router cannot be reached']);
    expect(output.lines).toHaveLength(5);
  });

  it('shows a refusal as it is, and goes on', async () => {
    verdicts['a'] = (exchange) => exchange.fail(422, 'Invalid', 'TopologyConfig "a" is invalid: spec.backends[0].endpoint: no such folder');
    expect(await plan(written('a'), written('b'))).toBe(1);
    expect(output.lines).toEqual([
      'harikube/a: the server refuses (Invalid): TopologyConfig "a" is invalid: spec.backends[0].endpoint: no such folder',
      'harikube/b: would be created',
      '  add  b',
    ]);
  });

  it('is held back when keys are in the way, and nothing else', async () => {
    const refuse =
      (...messages: string[]) =>
      (exchange: Exchange): void =>
        exchange.answer(
          422,
          failure(422, 'Invalid', messages.join(', '), { details: { causes: messages.map((message) => ({ message })) } }),
        );
    verdicts['a'] = refuse(HELD);
    expect(await plan(written('a'), written('b'))).toBe(3);
    verdicts['b'] = refuse(HELD, 'the name is used twice');
    expect(await plan(written('a'), written('b'))).toBe(1);
  });

  it('gives a program all of it', async () => {
    output = new RecordedOutput('json');
    const causes = [{ field: 'spec.backends[0]', message: HELD, reason: 'FieldValueForbidden' }];
    verdicts['a'] = (exchange) => exchange.fail(403, 'Forbidden', 'no', { details: { causes } });
    expect(await plan(written('a'))).toBe(3);
    expect(JSON.parse(output.text)).toEqual({
      objects: [
        {
          namespace: 'harikube',
          name: 'a',
          result: 'refused',
          changes: [],
          fields: [],
          warnings: [],
          message: 'the server refuses (Forbidden): no',
          causes,
        },
      ],
      problems: [],
    });
  });

  it('asks nobody about what is wrong in the file', async () => {
    expect(await plan(written('a', { spec: { backends: [] } }))).toBe(1);
    expect(output.notes).toEqual([`${file}:1:166: spec.backends: Invalid value: []: should have at least 1 items`]);
    output = new RecordedOutput('json');
    expect(await plan(written('a', { spec: { backends: [] } }))).toBe(1);
    expect(JSON.parse(output.text)).toMatchObject({ objects: [], problems: [{ path: 'spec.backends' }] });
    expect(asked).toEqual([]);
  });

  it('takes the namespace of the flag for objects that name none', async () => {
    writeFileSync(file, JSON.stringify(written('a', { metadata: { namespace: undefined } })));
    await clusterPlan([file], { kubeconfig, namespace: 'shop' }, {}, output);
    await clusterPlan([file], { kubeconfig }, {}, output);
    expect(output.lines.filter((line) => line.includes('/a:'))).toEqual(['shop/a: would be created', 'default/a: would be created']);
    writeFileSync(file, JSON.stringify(written('a')));
    await expect(clusterPlan([file], { kubeconfig, namespace: 'shop' }, {}, output)).rejects.toThrow(
      'a names the namespace "harikube" and --namespace "shop": leave one of them out',
    );
  });

  it('refuses a file without TopologyConfigs', async () => {
    writeFileSync(file, 'backends: []\n');
    await expect(clusterPlan([file], { kubeconfig }, {}, output)).rejects.toThrow('is judged by "harikube topology plan"');
  });

  it('ends when the server cannot judge', async () => {
    verdicts['a'] = (exchange) => exchange.fail(500, 'InternalError', 'failed calling webhook');
    await expect(plan(written('a'))).rejects.toThrow('the server refuses (InternalError): failed calling webhook');
  });
});

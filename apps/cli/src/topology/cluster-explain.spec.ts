import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { UnknownSubjectError } from '@harikube/datasources';
import { ApiServerDouble } from '@harikube/kube/api-server-double';
import { clusterExplain } from './cluster-explain.js';
import { RecordedOutput } from './spec/recorded-output.js';
import { topologyConfig } from './spec/topology-config-double.js';

const CONFIGS = '/apis/harikube.info/v1/topologyconfigs';
const SECRET = '/api/v1/namespaces/harikube/secrets/topology-config';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

let server: ApiServerDouble;
let kubeconfig: string;
let output: RecordedOutput;
/** What is answered, by path: an object, or the code of a refusal. */
let answers: Record<string, object | number>;

beforeEach(async () => {
  server = await ApiServerDouble.start();
  kubeconfig = await server.kubeconfig();
  output = new RecordedOutput();
  const data = {
    '1-pods.yaml': base64('backends:\n- name: pods\n  endpoint: sqlite:///db/pods.db\n  prefix: {prefix: pods}\n'),
    'pods-ca.crt': base64('-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n'),
  };
  answers = { [CONFIGS]: { metadata: {}, items: [] }, [SECRET]: { metadata: { name: 'topology-config' }, data } };
  server.respond = (exchange) => {
    const answer = answers[exchange.path] ?? 404;
    if (typeof answer === 'number') exchange.fail(answer, answer === 403 ? 'Forbidden' : 'NotFound');
    else exchange.answer(200, answer);
    return true;
  };
});
afterEach(() => server.close());

function explain(subject: string, target?: string): Promise<number> {
  return clusterExplain(subject, target === undefined ? { kubeconfig } : { kubeconfig, target }, {}, output);
}

describe('clusterExplain', () => {
  it('goes by the Secret that the rules are merged into', async () => {
    expect(await explain('pods')).toBe(0);
    expect(output.lines).toEqual([
      'pods: every key below /registry/pods/',
      '  database "pods" (sqlite:///db/pods.db) by rule 1: prefix pods',
      'by the Secret harikube/topology-config',
    ]);
    expect(output.notes).toEqual([]);
  });

  it('goes by the TopologyConfigs where the Secret may not be read, and says so', async () => {
    answers[SECRET] = 403;
    const second = topologyConfig('other', { metadata: { creationTimestamp: '2026-01-01T00:00:00Z' } });
    answers[CONFIGS] = { items: [second, topologyConfig('user', { metadata: { creationTimestamp: '2025-01-01T00:00:00Z' } })] };
    expect(await explain('others')).toBe(0);
    expect(output.notes).toEqual(['the Secret harikube/topology-config may not be read: these are the rules as they are written']);
    expect(output.lines).toEqual([
      'others: every key below /registry/others/',
      '  database "other" (sqlite:///db/other.db) by rule 2: prefix others (TopologyConfig harikube/other)',
      'by the TopologyConfigs of harikube/topology-config',
    ]);
  });

  it('shows a reference as it is', async () => {
    answers[SECRET] = 404;
    const backends = [{ name: 'user', endpoint: 'secret://harikube/databases/user', prefix: { prefix: 'users' } }];
    answers[CONFIGS] = { items: [topologyConfig('user', { spec: { backends } })] };
    await explain('users');
    expect(output.notes).toEqual(['the Secret harikube/topology-config is not there: these are the rules as they are written']);
    expect(output.lines[1]).toContain('database "user" (secret://harikube/databases/user) by rule 1');
  });

  it('names what is not in force as it is written', async () => {
    answers[CONFIGS] = {
      items: [
        topologyConfig('a', { status: { deployStatus: 'Held' } }),
        topologyConfig('b'),
        topologyConfig('c', { metadata: { generation: 3 } }),
      ],
    };
    await explain('pods');
    expect(output.notes).toEqual(['not in force yet, or not as written: TopologyConfig harikube/a, TopologyConfig harikube/c']);
  });

  it('is told which of several topologies is meant', async () => {
    answers[CONFIGS] = { items: [topologyConfig('a'), topologyConfig('b', { spec: { targetSecret: 'x/y' } })] };
    await expect(explain('pods')).rejects.toMatchObject({
      exitCode: 2,
      message: 'there are several topologies: choose one of harikube/topology-config, x/y with --target',
    });
    expect(await explain('bs', 'x/y')).toBe(0);
    expect(output.lines[1]).toContain('database "b" (sqlite:///db/b.db) by rule 1');
    await expect(explain('pods', 'x')).rejects.toThrow('"x" names no Secret; write --target NAMESPACE/NAME');
  });

  it('is enough for whoever may read the Secret alone', async () => {
    answers[CONFIGS] = 403;
    expect(await explain('pods')).toBe(0);
    answers[SECRET] = 403;
    await expect(explain('pods')).rejects.toThrow('the server refuses (Forbidden)');
  });

  it('says what is wrong with the TopologyConfigs that it goes by', async () => {
    answers[SECRET] = 404;
    answers[CONFIGS] = {
      items: [topologyConfig('a', { spec: { backends: [{ name: 'a', endpoint: 'redis://x', prefix: { prefix: 'pods' } }] } })],
    };
    await expect(explain('pods')).rejects.toThrow(
      'TopologyConfig harikube/a: spec.backends[0].endpoint: endpoint "redis://x": unknown scheme "redis"',
    );
    answers[CONFIGS] = { items: [] };
    await expect(explain('pods')).rejects.toThrow(
      'no TopologyConfig is for harikube/topology-config: every key is in the default database',
    );
  });

  it('refuses what is neither a key nor a resource', async () => {
    await expect(explain('Pods')).rejects.toBeInstanceOf(UnknownSubjectError);
  });

  it('gives a program all of it', async () => {
    output = new RecordedOutput('json');
    await explain('/registry/pods/a/b');
    expect(JSON.parse(output.text)).toMatchObject({
      source: 'the Secret harikube/topology-config',
      kind: 'key',
      placements: [{ backend: 'pods', ruleIndex: 0, endpoint: 'sqlite:///db/pods.db' }],
    });
  });
});

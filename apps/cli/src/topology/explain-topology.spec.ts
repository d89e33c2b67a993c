import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ConfigError, type RouterExplanation } from '@harikube/platform';
import { EXAMPLES } from '../repository.js';
import { explainTopology } from './explain-topology.js';
import { AdminDouble } from './spec/admin-double.js';
import { RecordedOutput } from './spec/recorded-output.js';

const USERS = 'users.product.webshop.harikube.info';
const PLACEMENT = { backend: 'user', ruleIndex: 1, line: 7, matcher: 'customresource group=x', endpoint: 'sqlite://./user.db' };
const MAIN = { backend: 'main', ruleIndex: null, line: null, matcher: 'no rule matches: the default', endpoint: '' };

let router: AdminDouble;
let folder: string;
let output: RecordedOutput;

beforeEach(async () => {
  router = await AdminDouble.start();
  folder = mkdtempSync(join(tmpdir(), 'harikube-explain-'));
  output = new RecordedOutput();
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await router.close();
});

describe('explainTopology of a router', () => {
  const explanation: RouterExplanation = {
    subject: '/registry/x/users/a',
    kind: 'key',
    path: '/registry/x/users/a',
    placements: [PLACEMENT],
    resourcePlacements: [PLACEMENT, MAIN],
  };

  it('says what is in force there', async () => {
    router.answer('/v1/topology/explain', explanation);
    expect(await explainTopology('/registry/x/users/a', router.flags, {}, output)).toBe(0);
    expect(router.asked[0]?.path).toBe('/v1/topology/explain?subject=%2Fregistry%2Fx%2Fusers%2Fa');
    expect(output.lines).toEqual([
      'key /registry/x/users/a',
      '  database "user" (sqlite://./user.db) by rule 2: customresource group=x',
      'other keys of this resource:',
      '  database "main": no rule matches: the default',
      `in force in the router at ${router.url}`,
    ]);
  });

  it('gives a program what the router says', async () => {
    router.answer('/v1/topology/explain', explanation);
    output = new RecordedOutput('json');
    await explainTopology('/registry/x/users/a', router.flags, {}, output);
    expect(JSON.parse(output.text)).toEqual(explanation);
  });

  it('takes a subject that the router does not understand for a mistake on the command line', async () => {
    router.answer('/v1/topology/explain', { message: '"Users" is neither a key nor a resource' }, 400);
    await expect(explainTopology('Users', router.flags, {}, output)).rejects.toBeInstanceOf(ConfigError);
    router.answer('/v1/topology/explain', { message: 'not now' }, 503);
    await expect(explainTopology('users', router.flags, {}, output)).rejects.toMatchObject({ exitCode: 1, message: 'not now' });
  });
});

describe('explainTopology of a file', () => {
  it('names the line of the rule', async () => {
    const topology = join(EXAMPLES, 'topology.yaml');
    expect(await explainTopology(USERS, { topology }, {}, output)).toBe(0);
    expect(output.lines[1]).toMatch(/^ {2}database "user" .* by rule 2: .* \(.*topology\.yaml, line 9\)$/);
  });

  it('names the file and the line in TopologyConfigs', async () => {
    const topology = join(folder, 'configs.yaml');
    writeFileSync(
      topology,
      'apiVersion: harikube.info/v1\nkind: TopologyConfig\nmetadata: {name: a}\nspec:\n  backends:\n  - name: a\n    endpoint: sqlite://./a.db\n    prefix: {prefix: pods}\n',
    );
    await explainTopology('pods', { topology }, {}, output);
    expect(output.lines[1]).toBe(`  database "a" (sqlite://./a.db) by rule 1: prefix pods (${topology}, line 6)`);
  });

  it('explains each target of TopologyConfigs', async () => {
    const object = (target: string): string =>
      `apiVersion: harikube.info/v1\nkind: TopologyConfig\nmetadata: {name: ${target}}\nspec: {targetSecret: n/${target}, backends: [{name: ${target}, endpoint: "secret://n/s/${target}", prefix: {prefix: pods}}]}\n`;
    const topology = join(folder, 'two.yaml');
    writeFileSync(topology, `${object('a')}---\n${object('b')}`);
    await explainTopology('pods', { topology }, {}, output);
    expect(output.lines).toEqual([
      'in n/a:',
      '  pods: every key below /registry/pods/',
      `    database "a" (secret://n/s/a) by rule 1: prefix pods (${topology}, line 4)`,
      'in n/b:',
      '  pods: every key below /registry/pods/',
      `    database "b" (secret://n/s/b) by rule 1: prefix pods (${topology}, line 9)`,
    ]);
    output = new RecordedOutput('json');
    await explainTopology('pods', { topology }, {}, output);
    expect(JSON.parse(output.text)).toMatchObject([
      { target: 'n/a', placements: [{ backend: 'a', line: 4 }] },
      { target: 'n/b', placements: [{ backend: 'b', line: 9 }] },
    ]);
  });

  it('is refused together with a router', async () => {
    const topology = join(EXAMPLES, 'topology.yaml');
    await expect(explainTopology(USERS, { topology, data: 'x' }, {}, output)).rejects.toThrow(
      '--topology asks a file, and the other flags a router: leave one of them out',
    );
  });

  it('is the one of the environment where no router runs', async () => {
    const path = join(folder, 'topology.yaml');
    writeFileSync(path, 'backends: [{name: a, endpoint: "sqlite://./a.db", prefix: {prefix: pods}}]\n');
    await explainTopology('pods', {}, { TOPOLOGY_CONFIG: `file://${path}` }, output);
    expect(output.lines[1]).toContain('database "a" (sqlite://./a.db) by rule 1');
  });
});

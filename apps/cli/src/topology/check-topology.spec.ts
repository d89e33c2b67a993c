import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EXAMPLES } from '../repository.js';
import { checkTopology } from './check-topology.js';
import { RecordedOutput } from './spec/recorded-output.js';

let folder: string;
let file: string;
let output: RecordedOutput;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-check-'));
  file = join(folder, 'configs.yaml');
  output = new RecordedOutput();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A TopologyConfig with one rule; lines of `more` are fields of the backend. */
function config(
  name: string,
  { order = '', endpoint = `sqlite://./${name}.db`, rule = `prefix: { prefix: ${name}s }`, more = [] as string[] } = {},
): string {
  return [
    'apiVersion: harikube.info/v1',
    'kind: TopologyConfig',
    `metadata: { name: ${name}, namespace: harikube${order === '' ? '' : `, annotations: { harikube.info/deployOrder: ${order} }`} }`,
    'spec:',
    '  backends:',
    `  - name: ${name}`,
    `    endpoint: ${endpoint}`,
    ...[rule, ...more].map((line) => `    ${line}`),
    '',
  ].join('\n');
}

async function check(text: string): Promise<{ code: number; problems: string[] }> {
  writeFileSync(file, text);
  const code = await checkTopology(file, output);
  return { code, problems: output.notes.map((note) => note.replace(`${file}:`, '')) };
}

describe('checkTopology', () => {
  it.each(readdirSync(EXAMPLES).filter((name) => /^topology.*\.yaml$/.test(name)))('finds the example %s sound', async (name) => {
    expect(await checkTopology(join(EXAMPLES, name), output)).toBe(0);
    expect(output.text).toMatch(/ is sound(?:, for harikube\/topology-config)?: tenant, user, email, main$/);
    expect(output.notes).toEqual([]);
  });
});

describe('checkTopology of a topology', () => {
  it('names the backends of one that is sound, and settings without effect', async () => {
    const text = 'backends:\n- name: a\n  endpoint: sqlite://./a.db\n  prefix: { prefix: pods }\n  connectionPool: { maxOpen: 3 }\n';
    expect(await check(text)).toEqual({ code: 0, problems: ['backend "a": connectionPool has no effect on this database'] });
    expect(output.lines).toEqual([`${file} is sound: a, main`]);
  });

  it('takes the documents of a folder together, in the order of their names', async () => {
    const rule = (name: string): string => `backends:\n- name: ${name}\n  endpoint: sqlite://./${name}.db\n  prefix: { prefix: pods }\n`;
    writeFileSync(join(folder, '2-b.yaml'), rule('b'));
    writeFileSync(join(folder, '1-a.yaml'), rule('a'));
    writeFileSync(join(folder, 'tls.crt'), 'no document');
    expect(await checkTopology(folder, output)).toBe(1);
    expect(output.notes).toEqual([
      `${join(folder, '2-b.yaml')}:4:11: backends[0].prefix: this rule takes the same keys as backends[0] "a" (${join(folder, '1-a.yaml')}, line 2): they differ in nothing, or in what is ignored`,
    ]);
  });

  it('gives a program every problem with its place', async () => {
    output = new RecordedOutput('yaml');
    expect(await check('backends: 1\n')).toEqual({ code: 1, problems: [] });
    expect(output.text).toContain('isSound: false\n');
    expect(output.text).toContain('    line: 1\n    column: 11\n    path: backends\n');
  });
});

describe('checkTopology of TopologyConfigs', () => {
  it('puts the rules of each target in deploy order', async () => {
    const other = config('other').replace('spec:', 'spec:\n  targetSecret: a/b');
    const text = [config('last'), config('two', { order: '"10"' }), config('one', { order: '"9"' }), other].join('---\n');
    expect(await check(text)).toEqual({ code: 0, problems: [] });
    expect(output.lines).toEqual([
      `${file} is sound, for harikube/topology-config: one, two, last, main`,
      `${file} is sound, for a/b: other, main`,
    ]);
  });

  it('takes the list that kubectl writes, with all that the server added', async () => {
    const metadata = { name: 'a', namespace: 'n', uid: 'u', managedFields: [] };
    const spec = {
      targetSecret: 'a/b',
      backends: [{ name: 'a', endpoint: 'sqlite://./a.db', customresource: { group: 'x.io', kind: '' } }],
    };
    const item = { apiVersion: 'harikube.info/v1', kind: 'TopologyConfig', metadata, spec, status: { deployStatus: 'Active', more: 1 } };
    expect(await check(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [item] }))).toEqual({ code: 0, problems: [] });
  });

  it('names what it does not look at', async () => {
    const namespace = 'apiVersion: v1\nkind: Namespace\nmetadata: { name: harikube }\n';
    const text = [namespace, config('a', { endpoint: 'secret://harikube/databases/a', more: ['backendTLS: { caFile: /ca }'] })].join(
      '---\n',
    );
    expect(await check(text)).toEqual({
      code: 0,
      problems: [
        'not looked at: Namespace harikube',
        'not looked at, since the cluster alone can follow a reference: a (secret://harikube/databases/a)',
      ],
    });
    output = new RecordedOutput();
    expect(await check(namespace)).toEqual({
      code: 1,
      problems: ['not looked at: Namespace harikube', ' holds no TopologyConfig'],
    });
  });

  it.each([
    [
      'a field that the schema judges',
      config('a', { more: ['compactMinRetain: 3'] }),
      ['9:23: spec.backends[0].compactMinRetain: Invalid value: 3: should be greater than or equal to 10'],
    ],
    [
      'a field that is missing, once',
      config('a').replace('    endpoint: sqlite://./a.db\n', ''),
      ['6:5: spec.backends[0].endpoint: Required value'],
    ],
    [
      'a matcher that is missing',
      config('a', { rule: '' }),
      ['6:5: spec.backends[0]: no matcher: give exactly one of customresource, namespace, prefix, regexp'],
    ],
    [
      'two matchers',
      config('a', { more: ['namespace: { namespace: b }'] }),
      ['8:13: spec.backends[0].prefix: 2 matchers (namespace, prefix): give exactly one'],
    ],
    [
      'a misspelt field of a rule',
      config('a', { more: ['disableStorageLevelFiltring: true'] }),
      ['6:5: spec.backends[0]: unknown key "disableStorageLevelFiltring" (did you mean "disableStorageLevelFiltering"?)'],
    ],
    [
      'a misspelt field of the spec',
      config('a').replace('spec:', 'spec:\n  tagetSecret: a/b'),
      ['5:16: spec.tagetSecret: there is no such field (did you mean "targetSecret"?)'],
    ],
    [
      'a misspelt field of the object',
      config('a').replace('metadata:', 'metdata: x\nmetadata:'),
      ['3:10: metdata: there is no such field (did you mean "metadata"?)'],
    ],
    ['another version', config('a').replace('info/v1', 'info/v2'), ['1:13: apiVersion: is "harikube.info/v2"; write harikube.info/v1']],
    ['a missing name', config('a').replace('name: a, ', ''), ['3:11: metadata.name: is missing']],
    [
      'a name that is none',
      config('a').replace('{ name: a,', '{ name: A_b,'),
      [`3:19: metadata.name: "A_b" is no name: lower-case letters, digits, '-' and '.'`],
    ],
    [
      'a name that is too long',
      config('a').replace('{ name: a,', `{ name: ${'a'.repeat(231)},`),
      ['3:19: metadata.name: is longer than 230 characters'],
    ],
    [
      'an order that is no number',
      config('a', { order: 'first' }),
      ['3:85: metadata.annotations[harikube.info/deployOrder]: "first" is not usable; write a whole number from 0 to 999999999'],
    ],
    [
      'an order without quotes',
      config('a', { order: '1' }),
      ['3:85: metadata.annotations[harikube.info/deployOrder]: is no text: write the number in quotes, as in "1"'],
    ],
    [
      'half a reference',
      config('a', { endpoint: 'secret://a/b', more: ['backendTLS: { caFile: secret://c }'] }),
      [
        '7:15: spec.backends[0].endpoint: a reference is written secret://NAMESPACE/NAME/KEY',
        '9:27: spec.backends[0].backendTLS.caFile: a reference is written secret://NAMESPACE/NAME/KEY',
      ],
    ],
    [
      'no backends',
      config('a').replace(/ {2}backends:[^]*/, '  backends: []\n'),
      ['5:13: spec.backends: Invalid value: []: should have at least 1 items'],
    ],
    [
      'text that is no YAML',
      'kind: TopologyConfig\nspec: [\n',
      ['3:1: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
  ])('says what is wrong, and where: %s', async (_what, text, problems) => {
    const told = await check(text);
    expect(told.code).toBe(1);
    const own = told.problems.filter((problem) => !problem.startsWith('not looked at'));
    expect(own).toEqual(problems);
  });

  it('says what two objects do to each other, by the place of the other one', async () => {
    const text = [config('a'), config('b', { rule: 'prefix: { prefix: as }', endpoint: 'sqlite://./a.db' })].join('---\n');
    expect((await check(text)).problems).toEqual([
      `16:15: spec.backends[0].endpoint: endpoint "sqlite://./a.db" is the same database as that of spec.backends[0] "a" (${file}, line 6)`,
      `17:13: spec.backends[0].prefix: this rule takes the same keys as spec.backends[0] "a" (${file}, line 6): they differ in nothing, or in what is ignored`,
    ]);
  });

  it('finds two references to one database, and an object that is there twice', async () => {
    const endpoint = 'secret://harikube/databases/a';
    const text = [config('a', { endpoint }), config('a', { endpoint, rule: 'prefix: { prefix: bs }' })].join('---\n');
    const { problems } = await check(text);
    expect(problems).toContain('12:19: metadata.name: "a" is there twice: also in line 3');
    expect(problems).toContain(
      `16:15: spec.backends[0].endpoint: endpoint "${endpoint}" is the same database as that of spec.backends[0] "a" (${file}, line 6)`,
    );
  });

  it('shows no password', async () => {
    output = new RecordedOutput('json');
    await check(config('a', { endpoint: 'postgres://me:opensesame@db:99999/x' }));
    expect(output.text).toContain('postgres');
    expect(output.text).not.toContain('opensesame');
  });

  it('takes the files of a folder together', async () => {
    mkdirSync(join(folder, 'all'));
    for (const name of ['a', 'b']) writeFileSync(join(folder, 'all', `${name}.yaml`), config(name));
    expect(await checkTopology(join(folder, 'all'), output)).toBe(0);
    expect(output.lines).toEqual([`${join(folder, 'all')} is sound, for harikube/topology-config: a, b, main`]);
  });
});

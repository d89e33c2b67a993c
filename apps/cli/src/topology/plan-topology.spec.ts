import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RouterTopologyPlan } from '@harikube/platform';
import { planTopology } from './plan-topology.js';
import { AdminDouble } from './spec/admin-double.js';
import { RecordedOutput } from './spec/recorded-output.js';

const NOTHING: RouterTopologyPlan = { version: 'abc', check: [], changes: [], moves: [], problems: [] };
const MOVE = { from: 'main', to: 'user', keys: 1200, bytes: 4096, example: '/registry/example.com/users/a/b' };
const ADD = { kind: 'add', backend: 'user', detail: 'sqlite://./user.db' } as const;

let router: AdminDouble;
let folder: string;
let file: string;
let output: RecordedOutput;

beforeEach(async () => {
  router = await AdminDouble.start();
  folder = mkdtempSync(join(tmpdir(), 'harikube-plan-'));
  file = join(folder, 'topology.yaml');
  writeFileSync(file, 'backends: []\n');
  output = new RecordedOutput();
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await router.close();
});

function plan(answer: Partial<RouterTopologyPlan>, path = file): Promise<number> {
  router.answer('/v1/topology/plan', { ...NOTHING, ...answer });
  return planTopology(path, router.flags, output);
}

describe('planTopology', () => {
  it('sends the text as a router names it that reads the file', async () => {
    expect(await plan({})).toBe(0);
    expect(router.asked).toEqual([
      { method: 'POST', path: '/v1/topology/plan', token: 'opensesame', body: { documents: [{ name: '', text: 'backends: []\n' }] } },
    ]);
    expect(output.text).toBe('no change: it is in force');
  });

  it('says what would change', async () => {
    expect(await plan({ changes: [ADD, { kind: 'reorder', backend: 'tenant', detail: 'from 1 to 2' }] })).toBe(0);
    expect(output.lines).toEqual([
      'changes:',
      '  add      user    sqlite://./user.db',
      '  reorder  tenant  from 1 to 2',
      'it can be applied',
    ]);
  });

  it('says how many keys and bytes would have to move, and that they hold it back', async () => {
    expect(await plan({ changes: [ADD], moves: [MOVE, { ...MOVE, from: 'tenant', keys: 1, bytes: 10, example: '/x' }] })).toBe(3);
    expect(output.lines.slice(2)).toEqual([
      'keys that would have to move:',
      '  main -> user    1200 keys  4.0 KiB  such as /registry/example.com/users/a/b',
      '  tenant -> user  1 key      10 B     such as /x',
      'held back: 1201 keys, 4.0 KiB would be hidden where they are; it can be applied when those keys are deleted, or with rules that leave them where they are',
    ]);
  });

  it('says that a backend would have another database', async () => {
    expect(await plan({ changes: [ADD], moves: [{ ...MOVE, from: 'user' }] })).toBe(3);
    expect(output.lines[3]).toContain('  user -> user, which would be another database  1200 keys');
  });

  it('is wrong when there are problems, whatever would have to move', async () => {
    expect(await plan({ changes: [ADD], moves: [MOVE], problems: ['backend "user" cannot be opened'] })).toBe(1);
    expect(output.lines.slice(-3)).toEqual(['problems:', '  backend "user" cannot be opened', 'it cannot be applied']);
    output = new RecordedOutput();
    expect(await plan({ problems: ['the store is read-only'] })).toBe(1);
    expect(output.lines).toEqual(['problems:', '  the store is read-only', 'it cannot be applied']);
  });

  it('says where the text is wrong, by the file', async () => {
    const problem = { file: '', line: 2, column: 5, path: 'backends[0].name', message: 'is wrong' };
    expect(await plan({ check: [problem] })).toBe(1);
    expect([output.lines, output.notes]).toEqual([[], [`${file}:2:5: backends[0].name: is wrong`]]);
  });

  it('tells a program the same', async () => {
    output = new RecordedOutput('json');
    const check = [{ file: '', line: 2, column: 5, path: '', message: 'is wrong' }];
    expect(await plan({ check })).toBe(1);
    expect(JSON.parse(output.text)).toEqual({ ...NOTHING, check: [{ ...check[0], file }] });
    expect(output.notes).toEqual([]);
  });

  it('takes a folder as the keys of a Secret, as the kubelet mounts one', async () => {
    const mounted = join(folder, 'mounted');
    mkdirSync(join(mounted, '..2026_01_01'), { recursive: true });
    for (const name of ['2-b.yaml', '1-a.yaml', 'user-ca.crt']) writeFileSync(join(mounted, '..2026_01_01', name), `text of ${name}`);
    symlinkSync('..2026_01_01', join(mounted, '..data'));
    for (const name of ['2-b.yaml', '1-a.yaml', 'user-ca.crt']) symlinkSync(join('..data', name), join(mounted, name));
    writeFileSync(join(mounted, '.hidden.yaml'), '');
    expect(await plan({ check: [{ file: '2-b.yaml', line: 1, column: 1, path: '', message: 'is wrong' }] }, mounted)).toBe(1);
    expect(router.asked[0]?.body).toEqual({
      documents: [
        { name: '1-a.yaml', text: 'text of 1-a.yaml' },
        { name: '2-b.yaml', text: 'text of 2-b.yaml' },
      ],
    });
    expect(output.notes).toEqual([`${join(mounted, '2-b.yaml')}:1:1: is wrong`]);
  });

  it('refuses a folder without documents, and a file that is not there', async () => {
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    await expect(plan({}, empty)).rejects.toThrow(`the folder ${empty} holds no topology: its documents end in .yaml`);
    await expect(plan({}, join(folder, 'none.yaml'))).rejects.toThrow('none.yaml: there is no such file');
  });

  it('leaves TopologyConfigs to the cluster, and says so', async () => {
    writeFileSync(file, 'apiVersion: harikube.info/v1\nkind: TopologyConfig\nmetadata: {name: a}\n');
    await expect(plan({})).rejects.toThrow('use "kubectl harikube topology plan -f"');
    expect(router.asked).toEqual([]);
  });

  it("passes on the router's own sentence", async () => {
    router.answer('/v1/topology/plan', { message: 'the token is not the one of this router' }, 401);
    await expect(planTopology(file, router.flags, output)).rejects.toThrow('the token is not the one of this router');
  });
});

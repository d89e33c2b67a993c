import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ApiServerDouble } from '@harikube/kube/api-server-double';
import { EXAMPLES, LAUNCHER } from '../repository.js';
import { kubectlHarikubeCompletions } from './kubectl-harikube.js';
import { AdminDouble } from './spec/admin-double.js';
import { topologyConfig } from './spec/topology-config-double.js';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubectl-harikube-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs a program of this package as a shell does. */
async function run(program: string, args: readonly string[], input = ''): Promise<Ended> {
  const child = spawn(process.execPath, [join(dirname(LAUNCHER), program), ...args], {
    cwd: folder,
    env: { PATH: dirname(process.execPath), HOME: folder },
  });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: out.join(''), stderr: err.join('') };
}

const plugin = (...args: string[]): Promise<Ended> => run('kubectl-harikube.js', args);
const harikube = (...args: string[]): Promise<Ended> => run('harikube.js', args);

describe('kubectl harikube', () => {
  it.each([
    [['topology', 'staus'], `error: unknown command 'staus' (Did you mean status?)\n`],
    [['topology', 'plan', '--filname', 'x'], `error: unknown option '--filname' (Did you mean --filename?)\n`],
    [
      ['topology', 'status', '-o', 'toml'],
      /^error: option '-o, --output <format>' argument 'toml' is invalid\. Allowed choices are text, json, yaml\.\n$/,
    ],
    [['topology', 'plan'], 'error: a file is needed: give it with -f, or - for standard input\n'],
    [['topology', 'explain'], `error: missing required argument 'key-or-resource'\n`],
    [['topology', 'status', '--kubeconfig', 'none'], /^error: the kubeconfig none cannot be used: .*\n$/],
  ])('refuses %j in one line', async (args, line) => {
    const { code, stdout, stderr } = await plugin(...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toEqual(typeof line === 'string' ? line : expect.stringMatching(line));
  });

  it('lists its commands, and their flags', async () => {
    const [own, topology, plan] = await Promise.all([plugin(), plugin('help', 'topology'), plugin('topology', 'plan', '--help')]);
    expect([own.code, topology.code, plan.code]).toEqual([0, 0, 0]);
    expect(own.stdout).toContain('Usage: kubectl harikube [options] [command]');
    for (const command of ['status', 'check', 'plan', 'explain']) expect(topology.stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    for (const text of ['--filename', '--kubeconfig', '--context', '--namespace', '--output', 'Exit codes: 0'])
      expect(plan.stdout).toContain(text);
  });

  it('checks a file, and standard input, without a cluster', async () => {
    const file = join(EXAMPLES, 'topology.yaml');
    expect(await plugin('topology', 'check', '-f', file)).toEqual({
      code: 0,
      stdout: `${file} is sound: tenant, user, email, main\n`,
      stderr: '',
    });
    const broken = 'apiVersion: harikube.info/v1\nkind: TopologyConfig\nmetadata: {name: a}\nspec: {backends: []}\n';
    expect(await run('kubectl-harikube.js', ['topology', 'check', '-f', '-'], broken)).toEqual({
      code: 1,
      stdout: '',
      stderr: 'standard input:4:18: spec.backends: Invalid value: []: should have at least 1 items\n',
    });
  });

  it('asks the cluster of its kubeconfig, and ends with the code of the answer', async () => {
    const server = await ApiServerDouble.start();
    server.respond = (exchange) => {
      exchange.answer(200, { metadata: {}, items: [topologyConfig('a', { status: { deployStatus: 'Held' } })] });
      return true;
    };
    const { code, stdout, stderr } = await plugin('topology', 'status', '--kubeconfig', await server.kubeconfig(), '-o', 'json');
    await server.close();
    expect([code, stderr]).toEqual([3, '']);
    expect(JSON.parse(stdout)).toMatchObject({ configs: [{ namespace: 'harikube', name: 'a', status: 'Held' }] });
  });

  it('says in one line that the cluster does not answer', async () => {
    const server = await ApiServerDouble.start();
    const kubeconfig = await server.kubeconfig();
    await server.stop();
    const { code, stderr } = await plugin('topology', 'status', '--kubeconfig', kubeconfig);
    await server.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: the API server at http:\/\/127\.0\.0\.1:\d+ does not answer: .*ECONNREFUSED.*\n$/);
  });
});

describe('harikube topology', () => {
  it('asks the router that the flags name, and ends with the code of the answer', async () => {
    const router = await AdminDouble.start();
    const move = { from: 'main', to: 'user', keys: 1, bytes: 10, example: '/registry/x' };
    router.answer('/v1/topology/plan', { version: 'a', check: [], changes: [], moves: [move], problems: [] });
    const file = join(folder, 'topology.yaml');
    writeFileSync(file, 'backends: []\n');
    const flags = ['--admin-url', router.url, '--token-file', router.tokenFile];
    const { code, stdout, stderr } = await harikube('topology', 'plan', file, ...flags, '-o', 'yaml');
    expect([code, stderr]).toEqual([3, '']);
    expect(stdout).toContain('moves:\n  - from: main\n    to: user\n    keys: 1\n');
    router.answer('/v1/topology', { message: 'the token is not the one of this router' }, 401);
    expect(await harikube('topology', 'status', ...flags)).toEqual({
      code: 1,
      stdout: '',
      stderr: 'harikube: the token is not the one of this router\n',
    });
    await router.close();
  });

  it('says what to do where nothing runs', async () => {
    expect(await harikube('topology', 'status')).toEqual({
      code: 1,
      stdout: '',
      stderr: `harikube: nothing runs on ${join(folder, '.harikube')}: start it with "harikube up", or name another folder with --data, or a router with --admin-url\n`,
    });
  });
});

describe('the completion of kubectl harikube', () => {
  it('offers commands, flags, formats and file names', () => {
    expect(kubectlHarikubeCompletions([''])).toContain('topology\tshow, check, plan and explain TopologyConfigs\n');
    expect(kubectlHarikubeCompletions(['topology', 'st'])).toMatch(/^status\t.*\n:4\n$/);
    expect(kubectlHarikubeCompletions(['topology', 'plan', '--f'])).toMatch(/^--filename\t.*\n:4\n$/);
    expect(kubectlHarikubeCompletions(['topology', 'status', '-o', 'j'])).toBe('json\n:4\n');
    expect(kubectlHarikubeCompletions(['topology', 'plan', '-f', ''])).toBe(':0\n');
    expect(kubectlHarikubeCompletions(['topology', 'explain', ''])).toBe(':4\n');
  });

  it('is what kubectl is told', async () => {
    expect(await run('kubectl_complete-harikube.js', ['topology', 'chec'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^check\t.*\n:4\n$/),
    });
  });
});

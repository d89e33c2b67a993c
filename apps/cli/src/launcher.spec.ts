import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { ROUTER_NODE_FLAGS } from '../bin/router-memory.js';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { LAUNCHER } from './repository.js';

/** Makes this Node say that it is an old one; what it starts in its turn is itself again. */
const AS_NODE_20 = ['--import', `data:text/javascript,Object.defineProperty(process,'version',{value:'v20.19.0'})`];

/** A program in place of the real one. */
const MAIN = `
export async function main(argv) {
  if (argv[0] === 'exit') return Number(argv[1]);
  if (argv[0] === 'die') process.kill(process.pid, 'SIGKILL');
  if (argv[0] === 'serve') {
    process.on('SIGTERM', () => { console.log('SIGTERM'); process.exit(7); });
    console.log(String(process.pid));
    setInterval(() => {}, 1000);
    await new Promise(() => {});
  }
  console.log(process.version + ' ' + argv.join(' '));
  return 0;
}
`;

describe('the launcher', () => {
  let repository = '';
  let folder = '';
  let launcher = '';
  let path = '';
  beforeEach(() => {
    repository = mkdtempSync(join(tmpdir(), 'launcher-'));
    folder = join(repository, 'apps', 'cli');
    mkdirSync(folder, { recursive: true });
    launcher = join(folder, 'bin', 'harikube.js');
    path = join(folder, 'path');
    for (const name of ['bin', 'dist', 'path']) mkdirSync(join(folder, name));
    for (const name of ['harikube.js', 'router-memory.js']) copyFileSync(join(dirname(LAUNCHER), name), join(folder, 'bin', name));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'dist', 'main.js'), MAIN);
  });
  afterEach(() => rmSync(repository, { recursive: true }));

  const run = (args: readonly string[], { nodeArgs = AS_NODE_20, withNode = true }: { nodeArgs?: string[]; withNode?: boolean } = {}) =>
    spawnSync(process.execPath, [...nodeArgs, launcher, ...args], {
      env: { PATH: withNode ? dirname(process.execPath) : path },
      encoding: 'utf8',
    });

  it('runs the program itself on a Node that is new enough', () => {
    expect(run(['hello', 'world'], { nodeArgs: [] })).toMatchObject({ status: 0, stdout: `${process.version} hello world\n`, stderr: '' });
  });

  it('hands over to a newer Node on PATH', () => {
    expect(run(['hello', 'world'])).toMatchObject({ status: 0, stdout: `${process.version} hello world\n`, stderr: '' });
  });

  it('gives a router the flags that keep its memory small', () => {
    writeFileSync(
      join(folder, 'dist', 'main.js'),
      'export const main = () => (console.log(process.execArgv.join(), process.env.MALLOC_ARENA_MAX), 0);',
    );
    expect(run(['router']).stdout).toBe(`${ROUTER_NODE_FLAGS.join()} 2\n`);
  });

  it('prefers the Node of a node_modules folder above it', () => {
    const bin = join(folder, 'node_modules', 'node', 'bin');
    mkdirSync(bin, { recursive: true });
    symlinkSync(process.execPath, join(bin, 'node'));
    expect(run(['hello'], { withNode: false })).toMatchObject({ status: 0, stdout: `${process.version} hello\n` });
  });

  it('says in one sentence what to do when there is no newer Node', () => {
    writeFileSync(join(path, 'node'), '#!/bin/sh\necho v18.0.0\n');
    chmodSync(join(path, 'node'), 0o755);
    const { status, stderr } = run(['hello'], { withNode: false });
    expect(status).toBe(1);
    expect(stderr).toBe(
      'harikube: Node 24 or newer is needed and this is v20.19.0: run `npm run setup` in the repository, which brings one, or put one on PATH\n',
    );
  });

  it('says what to do when the program is not built', () => {
    rmSync(join(folder, 'dist'), { recursive: true });
    expect(run(['hello'])).toMatchObject({ status: 1, stderr: 'harikube: it is not built yet: run `npm run setup` in the repository\n' });
  });

  describe('beside a bundle', () => {
    const compiledAt = (seconds: number): void => {
      const project = join(repository, 'libs', 'one');
      mkdirSync(project, { recursive: true });
      writeFileSync(join(project, 'tsconfig.tsbuildinfo'), '');
      utimesSync(join(project, 'tsconfig.tsbuildinfo'), seconds, seconds);
    };

    beforeEach(() => {
      mkdirSync(join(folder, 'bundle'));
      writeFileSync(join(folder, 'bundle', 'main.js'), 'export const main = () => (console.log("bundled"), 0);');
      utimesSync(join(folder, 'bundle', 'main.js'), 2000, 2000);
    });

    it('runs it when nothing was compiled since', () => {
      compiledAt(1000);
      expect(run(['hello'], { nodeArgs: [] }).stdout).toBe('bundled\n');
    });

    it('runs what was compiled since', () => {
      compiledAt(3000);
      expect(run(['hello'], { nodeArgs: [] }).stdout).toBe(`${process.version} hello\n`);
    });

    it('runs modules when packages were installed since', () => {
      compiledAt(1000);
      mkdirSync(join(repository, 'node_modules'));
      writeFileSync(join(repository, 'node_modules', '.package-lock.json'), '{}');
      expect(run(['hello'], { nodeArgs: [] }).stdout).toBe(`${process.version} hello\n`);
    });

    it('runs modules one by one when something is imported before them', () => {
      for (const flag of ['--import', '--experimental-loader'])
        expect(run(['hello'], { nodeArgs: [flag, 'data:text/javascript,'] }).stdout).toBe(`${process.version} hello\n`);
    });
  });

  it('says what to do when the program is partly built', () => {
    writeFileSync(join(folder, 'dist', 'main.js'), `import './missing.js'; export const main = () => 0;`);
    const { status, stderr } = run(['hello']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^harikube: it is only partly built \(.*missing\.js.*\): run `npm run setup` in the repository\n$/);
  });

  it('keeps the exit code', () => {
    expect(run(['exit', '42']).status).toBe(42);
  });

  it('ends by the signal that ended the program', () => {
    expect(run(['die']).signal).toBe('SIGKILL');
  });

  it('passes a signal on and waits for the end', async () => {
    const child = spawn(process.execPath, [...AS_NODE_20, launcher, 'serve'], {
      env: { PATH: dirname(process.execPath) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const told = once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([7, null]);
    expect(String((await told)[0])).toBe('SIGTERM\n');
  });

  it('takes the program along when it is killed', async () => {
    const child = spawn(process.execPath, [...AS_NODE_20, launcher, 'serve'], {
      env: { PATH: dirname(process.execPath) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const told = once(child.stdout, 'data');
    child.kill('SIGKILL');
    expect(String((await told)[0])).toBe('SIGTERM\n');
    await once(child.stdout, 'close');
  });
});

#!/usr/bin/env node
// The one door. It runs on whatever Node finds it, so it uses nothing that Node 14 does not know, and hands over to
// Node 24: itself when it is one, else the one that `npm ci` puts into node_modules, else one on PATH.
import { spawn, spawnSync } from 'child_process';
import { existsSync, readdirSync, realpathSync, statSync } from 'fs';
import module from 'module';
import { constants } from 'os';
import { delimiter, dirname, join } from 'path';
import { fileURLToPath, pathToFileURL } from 'url';
import { ROUTER_ENV, ROUTER_NODE_FLAGS } from './router-memory.js';

const NEEDED = 24;
const launcher = realpathSync(fileURLToPath(import.meta.url));
const cli = join(dirname(launcher), '..');
const compiled = join(cli, 'dist', 'main.js');
const bundled = join(cli, 'bundle', 'main.js');

function fail(sentence) {
  process.stderr.write('harikube: ' + sentence + '\n');
  process.exitCode = 1;
}

function majorOf(version) {
  const match = /^v(\d+)\./.exec(version);
  return match === null ? 0 : Number(match[1]);
}

function modified(file) {
  try {
    return statSync(file).mtimeMs;
  } catch (error) {
    return 0;
  }
}

/** The bundle is all of this in a few files (scripts/bundle.mjs). Who compiles or installs without it gets the modules, and so does who looks at them as they load. */
function isBundleFresh() {
  const made = modified(bundled);
  const flags = process.execArgv.concat(process.env.NODE_OPTIONS || '').join(' ');
  if (made === 0 || /--(import|loader|experimental-loader)\b/.test(flags)) return false;
  const root = join(cli, '..', '..');
  const sources = [join(root, 'node_modules', '.package-lock.json')];
  for (const group of ['apps', 'libs']) {
    const folder = join(root, group);
    for (const name of existsSync(folder) ? readdirSync(folder) : []) sources.push(join(folder, name, 'tsconfig.tsbuildinfo'));
  }
  return sources.every((file) => modified(file) <= made);
}

function isNewEnough(program) {
  const answer = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 10000 });
  return answer.status === 0 && majorOf(answer.stdout) >= NEEDED;
}

function findNode() {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  const candidates = [];
  for (let folder = dirname(launcher); ; folder = dirname(folder)) {
    candidates.push(join(folder, 'node_modules', 'node', 'bin', name));
    if (dirname(folder) === folder) break;
  }
  for (const folder of (process.env.PATH || '').split(delimiter)) if (folder !== '') candidates.push(join(folder, name));
  return candidates.find((candidate) => existsSync(candidate) && isNewEnough(candidate));
}

/** Becomes the newer Node as far as anybody outside can tell: its streams, signals and exit code. */
function handOver(node) {
  const args = process.argv.slice(2);
  const flags = args[0] === 'router' ? ROUTER_NODE_FLAGS : [];
  const env = args[0] === 'router' ? Object.assign({}, ROUTER_ENV, process.env) : process.env;
  // The channel carries nothing; its end tells the child that this process was killed.
  const child = spawn(node, flags.concat(launcher, args), { env: env, stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  // What is typed on a terminal reaches the child by itself; a second Ctrl-C would mean something else to it.
  const forward = (signal) => {
    if (signal === 'SIGTERM' || !process.stdin.isTTY) child.kill(signal);
  };
  for (const signal of signals) process.on(signal, forward);
  child.on('error', (error) => fail(node + ' cannot be started: ' + error.message));
  child.on('exit', (code, signal) => {
    for (const name of signals) process.removeListener(name, forward);
    if (signal === null) process.exit(code);
    process.kill(process.pid, signal);
    // A signal that this process survives still has to look like one to a shell.
    setTimeout(() => process.exit(128 + constants.signals[signal]), 100);
  });
}

/** The first process of a container hears no signal that it has no handler for: until the program has its own, it would run on until it is killed. */
function endAsAnyOther() {
  for (const signal of ['SIGTERM', 'SIGINT'])
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
    });
}

if (process.pid === 1) endAsAnyOther();
if (majorOf(process.version) < NEEDED) {
  const node = findNode();
  if (node !== undefined) handOver(node);
  else
    fail(
      'Node ' +
        NEEDED +
        ' or newer is needed and this is ' +
        process.version +
        ': run `npm run setup` in the repository, which brings one, or put one on PATH',
    );
} else if (!existsSync(compiled)) {
  fail('it is not built yet: run `npm run setup` in the repository');
} else {
  module.enableCompileCache();
  if (process.channel) {
    // Started by the branch above: when that process is killed, this one has nobody left to run for.
    process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
    process.channel.unref();
  }
  import(pathToFileURL(isBundleFresh() ? bundled : compiled).href)
    .then((program) => program.main(process.argv.slice(2)))
    .then((code) => {
      process.exitCode = code;
    })
    .catch((error) => {
      if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
      const image = process.env.HARIKUBE_IMAGE;
      if (image) {
        fail('the image ' + image + ' has no "' + process.argv[2] + '": use the one that has it, see docs/install.md');
        return;
      }
      fail('it is only partly built (' + error.message.split('\n')[0] + '): run `npm run setup` in the repository');
    });
}

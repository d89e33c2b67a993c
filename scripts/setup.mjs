// Brings a clone to the point where its programs run: packages installed, Node 24 in place, TypeScript compiled. It needs only the machine's own
// Node (20 or later) and npm, does nothing that is already done (well under a second then), and may run in two shells at once.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const lockfile = path.join(root, 'package-lock.json');
const stamp = path.join(modules, '.installed-from');
const node24 = path.join(modules, '.bin', 'node');
const compiler = path.join(modules, 'ts7', 'bin', 'tsc');

/** A failure whose message is all that the user needs; anything else is a bug and keeps its stack. */
class SetupError extends Error {}

/** The children under way: a set-up that is ended takes them along before it gives up its lock. */
const running = new Set();

const say = (line) => process.stdout.write(`set-up: ${line}\n`);

/** Runs a program with its output kept, a line of progress every ten seconds, and `null` for the code of one that could not be started. */
function run(program, args, { label, env }) {
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    const ticker = label && setInterval(() => say(`${label} … ${seconds()}`), 10_000);
    const settle = (code) => {
      clearInterval(ticker);
      running.delete(child);
      resolve({ code, output: output.trim(), took: seconds() });
    };
    child.on('error', () => settle(null));
    child.on('close', (code, signal) => settle(signal ? 1 : code));
  });
}

/** The environment without this repository's own programs in PATH: `npm ci` deletes them while it runs. */
function outerEnvironment() {
  const outside = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => !path.resolve(folder).startsWith(modules));
  return { ...process.env, PATH: outside.join(path.delimiter) };
}

const readIfThere = (file) => {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
};

const modified = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

const digest = (file) => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** True when node_modules holds what package-lock.json says: by our stamp, or because npm itself has installed after the lock was last written. */
function isInstalled() {
  if (!fs.existsSync(node24) || !fs.existsSync(compiler)) return false;
  return readIfThere(stamp) === digest(lockfile) || modified(path.join(modules, '.package-lock.json')) >= modified(lockfile);
}

/** npm does not always say that the disk is full: what it could not finish writing then reads like a broken package. */
function isDiskFull() {
  const { bavail, bsize } = fs.statfsSync(root);
  return bavail * bsize < 50e6;
}

function explainNpm(step, output) {
  if (isDiskFull()) return new SetupError(`${step} failed: the disk is full: free about 1 GB and start again`);
  const reasons = [
    [/EACCES|EPERM|EROFS/, `${root} cannot be written: give this user the folder, then start again`],
    [/EUSAGE/, 'package-lock.json does not fit package.json: run `npm install` once and commit the lock'],
    [
      /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/,
      'the package registry cannot be reached: check the network, or the proxy and registry that `npm config list` shows',
    ],
  ];
  const reason = reasons.find(([pattern]) => pattern.test(output))?.[1] ?? 'what npm said is above; start again when it is mended';
  return new SetupError(`${step} failed: ${reason}`);
}

async function npm(args, label) {
  const result = await run('npm', args, { label, env: outerEnvironment() });
  if (result.code === null) throw new SetupError('npm is not in PATH: install Node 20 or later together with npm, then start again');
  if (result.code !== 0) {
    process.stderr.write(`${result.output}\n`);
    throw explainNpm(`npm ${args[0]}`, result.output);
  }
  return result;
}

/** The packages without their install scripts, because some compile what is already there as a binary; the package `node` needs its own, which follows. */
async function installPackages() {
  say('installing packages (npm ci); about half a minute');
  const { took } = await npm(['ci', '--ignore-scripts', '--loglevel=error'], 'installing packages');
  say(`packages installed in ${took}`);
}

/** Node 24, which the package `node` fetches. With it the packages are complete. */
async function fetchNode() {
  const { took } = await npm(['rebuild', 'node', '--loglevel=error'], 'fetching Node 24');
  const version = await run(node24, ['--version'], {});
  if (version.code !== 0 || !version.output.startsWith('v24.')) {
    throw new SetupError(
      `Node 24 cannot be had for ${process.platform} ${process.arch} (the npm package "node" left ${version.output || 'nothing'}): ` +
        'see whether npm may fetch packages for this platform (`npm config get os cpu`), then remove node_modules and start again',
    );
  }
  fs.writeFileSync(stamp, digest(lockfile));
  say(`Node ${version.output} fetched in ${took}`);
}

function* filesUnder(folder) {
  if (!fs.existsSync(folder)) return;
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(full);
    else yield full;
  }
}

/** Compiled files whose source is gone are deleted (their tests would still run); a project with a source that has no output is compiled anew. */
function tidyOutput(project) {
  const [source, output] = [path.join(project, 'src'), path.join(project, 'dist')];
  for (const file of filesUnder(output)) {
    const made = /^(.*?)(\.d\.ts|\.js)(\.map)?$/.exec(path.relative(output, file));
    if (made && !fs.existsSync(path.join(source, `${made[1]}.ts`))) fs.rmSync(file);
  }
  for (const file of filesUnder(source)) {
    if (!/\.ts$/.test(file) || /\.d\.ts$/.test(file)) continue;
    const compiled = path.join(output, `${path.relative(source, file).slice(0, -3)}.js`);
    if (!fs.existsSync(compiled)) {
      fs.rmSync(path.join(project, 'tsconfig.tsbuildinfo'), { force: true });
      return;
    }
  }
}

/** By the Node at hand: the compiler is a program of its own, and takes any. */
async function compile(references, progress) {
  for (const reference of references) tidyOutput(path.join(root, reference.path));
  const result = await run(process.execPath, [compiler, '-b'], { label: 'compiling TypeScript', env: process.env });
  if (result.code !== 0) {
    process.stderr.write(`${result.output}\n`);
    throw new SetupError(
      /ENOSPC|no space left/i.test(result.output)
        ? 'the disk is full: free some space and start again'
        : 'TypeScript does not compile: the errors are above',
    );
  }
  if (progress) say(`TypeScript compiled in ${result.took}`);
}

/** Nothing depends on the bundle but how fast programs start: without it they run as they were compiled. */
async function bundle(references) {
  const made = modified(path.join(root, 'apps', 'cli', 'bundle', 'main.js'));
  const bundler = path.join(root, 'scripts', 'bundle.mjs');
  const programs = references.filter((reference) => /(?:^|\/)(?:apps|libs)\//.test(reference.path));
  const sources = [
    bundler,
    path.join(modules, '.package-lock.json'),
    ...programs.map((reference) => path.join(root, reference.path, 'tsconfig.tsbuildinfo')),
  ];
  if (sources.every((file) => modified(file) <= made)) return;
  const result = await run(node24, [bundler], { label: 'bundling', env: process.env });
  if (result.code === 0) return;
  throw new SetupError(
    isDiskFull() ? 'the disk is full: free some space and start again' : `what was compiled cannot be bundled: ${result.output}`,
  );
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

/** One set-up at a time per clone. The file names its owner, so that one which was killed does not lock out the next. */
async function withLock(work) {
  const file = path.join(root, '.setup.lock');
  const mine = `${file}.${process.pid}`;
  for (let told = false; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    try {
      fs.writeFileSync(mine, String(process.pid));
      fs.linkSync(mine, file);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    } finally {
      fs.rmSync(mine, { force: true });
    }
    const owner = Number(readIfThere(file));
    if (!owner) continue;
    if (!isAlive(owner)) {
      // Moved away before it is deleted: of two waiters only one gets it, and neither deletes the lock of a third.
      try {
        fs.renameSync(file, mine);
        if (Number(readIfThere(mine)) !== owner) fs.linkSync(mine, file);
      } catch (error) {
        if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
      } finally {
        fs.rmSync(mine, { force: true });
      }
    } else if (!told) {
      told = true;
      say(`waiting for the set-up that process ${owner} is doing (if that is none, remove ${path.relative(root, file)})`);
    }
  }
  const release = () => fs.rmSync(file, { force: true });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      for (const child of running) child.kill('SIGTERM');
      release();
      process.exit(130);
    });
  }
  try {
    return await work();
  } finally {
    release();
  }
}

async function setUp() {
  const { references } = JSON.parse(fs.readFileSync(path.join(root, 'tsconfig.json'), 'utf8'));
  const isFresh = !isInstalled();
  if (isFresh) await installPackages();
  // Each is let end: nothing of it may run on when the lock is given up.
  const steps = await Promise.allSettled([isFresh ? fetchNode() : undefined, compile(references, isFresh)]);
  for (const { reason } of steps) if (reason !== undefined) throw reason;
  await bundle(references);
}

try {
  await withLock(setUp);
} catch (error) {
  const full = error.code === 'ENOSPC' ? 'the disk is full: free about 1 GB and start again' : undefined;
  const readOnly = ['EACCES', 'EROFS'].includes(error.code) ? `${error.path ?? root} cannot be written: ${error.message}` : undefined;
  if (!(error instanceof SetupError) && !full && !readOnly) throw error;
  process.stderr.write(`set-up: ${full ?? readOnly ?? error.message}\n`);
  process.exitCode = 1;
}

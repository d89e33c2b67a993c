// Puts together what an image holds at /app: the packages that its package.json (docker/TARGET) names and what they need in production, our own
// compiled, the launcher and the bundle that it takes. Nothing that only builds, tests or describes. Runs where `npm ci` and `tsc -b apps/cli` have run:
//
//   node docker/assemble.mjs router|platform|email-function amd64|arm64 FOLDER
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const CPUS = { amd64: 'x64', arm64: 'arm64' };

function fail(sentence, code = 1) {
  process.stderr.write(`${sentence}\n`);
  process.exit(code);
}

const [target = '', architecture = '', folder = ''] = process.argv.slice(2);
const targets = fs.readdirSync(path.join(root, 'docker')).filter((name) => fs.existsSync(path.join(root, 'docker', name, 'package.json')));
const cpu = CPUS[architecture];
if (!targets.includes(target) || cpu === undefined || folder === '')
  fail(`usage: node docker/assemble.mjs ${targets.join('|')} ${Object.keys(CPUS).join('|')} FOLDER`, 2);
const app = path.resolve(folder);
if (fs.existsSync(app) && fs.readdirSync(app).length > 0)
  fail(`${app} is not empty: name a folder that is, or one that is not there yet`, 2);

const manifest = (...at) => JSON.parse(fs.readFileSync(path.join(...at, 'package.json'), 'utf8'));

/** Copies those files of a folder, and of the folders in it, that a program reads. */
function copyCompiled(from, to) {
  fs.cpSync(from, to, { recursive: true, filter: (file) => !/\.d\.ts$|\.map$|\.spec\.js$|\/dist\/spec$|\.tsbuildinfo$/.test(file) });
}

/** Deletes what the packages of others bring along for compilers, debuggers, testers and readers. */
function trim(modules) {
  for (const entry of fs.readdirSync(modules, { withFileTypes: true, recursive: true })) {
    const full = path.join(entry.parentPath, entry.name);
    const isPackage = fs.existsSync(path.join(entry.parentPath, 'package.json'));
    const isUnused = entry.isDirectory()
      ? isPackage && /^(?:tests?|__tests__|benchmarks?|examples?)$/.test(entry.name)
      : /\.[cm]?ts$|\.map$|\.spec\.[cm]?js$|\.(?:md|markdown|flow)$|\.tsbuildinfo$/i.test(entry.name) &&
        !/licen[cs]e|notice/i.test(entry.name);
    if (isUnused) fs.rmSync(full, { recursive: true, force: true });
  }
  fs.rmSync(path.join(modules, '@types'), { recursive: true, force: true });
  // SQLite's sources, and the binaries for other systems.
  const sqlite = path.join(modules, 'better-sqlite3');
  if (!fs.existsSync(sqlite)) return;
  for (const name of ['build', 'deps', 'src', 'binding.gyp']) fs.rmSync(path.join(sqlite, name), { recursive: true, force: true });
  for (const name of fs.readdirSync(path.join(sqlite, 'prebuilds')))
    if (name !== `linux-${cpu}.node`) fs.rmSync(path.join(sqlite, 'prebuilds', name));
}

const locked = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages;

/** Whether a package is for the machines that the image is for. */
const fits = ({ os: systems, cpu: cpus, libc }) =>
  (systems?.includes('linux') ?? true) && (cpus?.includes(cpu) ?? true) && (libc?.includes('glibc') ?? true);

/** Where the lock has a package that another one names: the nearest folder upwards, as Node looks for it. */
function placeOf(name, at) {
  for (let folder = at; ; folder = path.dirname(folder)) {
    const place = path.join(folder, 'node_modules', name);
    if (locked[place] !== undefined || folder === '.') return place;
  }
}

/** Our packages that the target needs, and those of others that these need in production; all by their folders below the root. */
const needed = new Set();
const packages = new Set();
function include(at) {
  const into = at.includes('node_modules') ? packages : needed;
  if (into.has(at)) return;
  into.add(at);
  const { dependencies, optionalDependencies, peerDependencies = {}, peerDependenciesMeta = {} } = locked[at];
  const peers = Object.keys(peerDependencies).filter((name) => peerDependenciesMeta[name]?.optional !== true);
  for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers]) {
    const place = placeOf(name, at);
    const entry = locked[place];
    if (entry === undefined) {
      if (dependencies?.[name] !== undefined) fail(`package-lock.json does not have ${name}, which ${at} needs: run npm install first`);
    } else if (entry.link) include(entry.resolved);
    else if (fits(entry)) include(place);
  }
}
include(path.join('docker', target));

/** Gets packages that are for other machines than this one, as the lock has them, into a folder of their own. They are optional there, too: npm takes no other ones that are not for this machine. */
function fetchPackages(places, into) {
  const named = places.map((at) => [at.replace(/^.*node_modules\//, ''), locked[at]]);
  const optionalDependencies = Object.fromEntries(named.map(([name, { version }]) => [name, version]));
  const entries = Object.fromEntries(named.map(([name, entry]) => [`node_modules/${name}`, entry]));
  const lock = { lockfileVersion: 3, packages: { '': { optionalDependencies }, ...entries } };
  fs.writeFileSync(path.join(into, 'package.json'), JSON.stringify({ optionalDependencies }));
  fs.writeFileSync(path.join(into, 'package-lock.json'), JSON.stringify(lock));
  fs.copyFileSync(path.join(root, '.npmrc'), path.join(into, '.npmrc'));
  const options = ['--ignore-scripts', '--os=linux', `--cpu=${cpu}`, '--libc=glibc', '--loglevel=error'];
  const { status } = spawnSync('npm', ['ci', ...options], { cwd: into, stdio: 'inherit' });
  const missing = named.filter(([name]) => !fs.existsSync(path.join(into, 'node_modules', name))).map(([name]) => name);
  if (status !== 0 || missing.length > 0) fail(`npm could not get ${missing.join(', ')} for ${architecture}, see above`);
}

/** A package without those in it: they are told by themselves. */
function copyPackage(from, to) {
  fs.cpSync(from, to, { recursive: true, filter: (file) => file === from || path.basename(file) !== 'node_modules' });
}

const installedVersion = (at) => (fs.existsSync(path.join(root, at, 'package.json')) ? manifest(root, at).version : undefined);
const foreign = [];
for (const at of packages) {
  const { version, optional } = locked[at];
  const found = installedVersion(at);
  if (found === version) copyPackage(path.join(root, at), path.join(app, at));
  else if (found === undefined && optional) foreign.push(at);
  else fail(`${at} is ${found ?? 'not'} here, and ${version} in package-lock.json: run npm ci first`);
}
if (foreign.length > 0) {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'assemble-'));
  process.once('exit', () => fs.rmSync(work, { recursive: true }));
  fetchPackages(foreign, work);
  for (const at of foreign) copyPackage(path.join(work, at.replace(/^.*(?=node_modules)/, '')), path.join(app, at));
}

const scope = path.join(app, 'node_modules', '@harikube');
fs.mkdirSync(scope, { recursive: true });
for (const at of needed) {
  if (at === path.join('docker', target)) continue;
  fs.mkdirSync(path.join(app, at), { recursive: true });
  fs.copyFileSync(path.join(root, at, 'package.json'), path.join(app, at, 'package.json'));
  fs.symlinkSync(path.relative(scope, path.join(app, at)), path.join(app, 'node_modules', manifest(root, at).name));
  if (fs.existsSync(path.join(root, at, 'dist'))) copyCompiled(path.join(root, at, 'dist'), path.join(app, at, 'dist'));
}
// The launcher is no package that anything depends on: docker/TARGET/package.json says what it needs here.
for (const name of ['bin', 'dist']) copyCompiled(path.join(root, 'apps', 'cli', name), path.join(app, 'apps', 'cli', name));
fs.copyFileSync(path.join(root, 'apps', 'cli', 'package.json'), path.join(app, 'apps', 'cli', 'package.json'));
const nested = path.join(app, 'docker', target, 'node_modules');
if (fs.existsSync(nested)) fs.renameSync(nested, path.join(app, 'apps', 'cli', 'node_modules'));
fs.rmSync(path.join(app, 'docker'), { recursive: true, force: true });
trim(path.join(app, 'node_modules'));
const launcherModules = path.join(app, 'apps', 'cli', 'node_modules');
if (fs.existsSync(launcherModules)) trim(launcherModules);
const bundled = spawnSync(process.execPath, [path.join(root, 'scripts', 'bundle.mjs'), app], { stdio: 'inherit' });
if (bundled.status !== 0) process.exit(1);
// An image's user is nobody special: it reads everything and writes nothing.
spawnSync('chmod', ['-R', 'u+rwX,go+rX,go-w', app], { stdio: 'inherit' });

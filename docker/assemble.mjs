// Puts together what an image holds at /app: the packages that its package.json (docker/TARGET) names and what they need in production, our own
// compiled, the launcher and the bundle that it takes. Nothing that only builds, tests or describes. Runs where `tsc -b apps/cli` has run:
//
//   node docker/assemble.mjs router|platform|email-function amd64|arm64 FOLDER
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const CPUS = { amd64: 'x64', arm64: 'arm64' };

const [target = '', architecture = '', folder = ''] = process.argv.slice(2);
const targets = fs.readdirSync(path.join(root, 'docker')).filter((name) => fs.existsSync(path.join(root, 'docker', name, 'package.json')));
const cpu = CPUS[architecture];
if (!targets.includes(target) || cpu === undefined || folder === '') {
  process.stderr.write(`usage: node docker/assemble.mjs ${targets.join('|')} ${Object.keys(CPUS).join('|')} FOLDER\n`);
  process.exit(2);
}
const app = path.resolve(folder);
if (fs.existsSync(app) && fs.readdirSync(app).length > 0) {
  process.stderr.write(`${app} is not empty: name a folder that is, or one that is not there yet\n`);
  process.exit(2);
}

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
  for (const name of ['deps', 'src', 'binding.gyp']) fs.rmSync(path.join(sqlite, name), { recursive: true, force: true });
  for (const name of fs.readdirSync(path.join(sqlite, 'prebuilds')))
    if (name !== `linux-${cpu}.node`) fs.rmSync(path.join(sqlite, 'prebuilds', name));
}

/** Our packages by name, each with its folder. */
const workspaces = new Map(
  manifest(root).workspaces.flatMap((pattern) => {
    const [parent, star] = pattern.split('/');
    const folders = star === undefined ? [parent] : fs.readdirSync(path.join(root, parent)).map((name) => path.join(parent, name));
    return folders.filter((at) => fs.existsSync(path.join(root, at, 'package.json'))).map((at) => [manifest(root, at).name, at]);
  }),
);

/** The folders of the target and of all of our packages that it needs. */
const needed = new Set();
const include = (at) => {
  if (needed.has(at)) return;
  needed.add(at);
  for (const name of Object.keys(manifest(root, at).dependencies ?? {})) if (workspaces.has(name)) include(workspaces.get(name));
};
include(path.join('docker', target));

// `npm ci --workspace` installs what all of the workspaces need. A workspace of just these, with the same lock, gets what these need, at the versions
// of the lock.
const { dependencies, overrides, ...rest } = manifest(root);
const own = { ...rest, workspaces: [...needed], devDependencies: {} };
// SQLite's driver stands at the root because an override of typeorm names it.
if (needed.has(path.join('libs', 'datasources'))) Object.assign(own, { dependencies, overrides });
fs.mkdirSync(app, { recursive: true });
fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify(own));
for (const name of ['package-lock.json', '.npmrc']) fs.copyFileSync(path.join(root, name), path.join(app, name));
for (const at of needed) {
  fs.mkdirSync(path.join(app, at), { recursive: true });
  fs.copyFileSync(path.join(root, at, 'package.json'), path.join(app, at, 'package.json'));
}
const options = ['--omit=dev', '--ignore-scripts', '--os=linux', `--cpu=${cpu}`, '--libc=glibc', '--loglevel=error'];
const { status } = spawnSync('npm', ['install', ...options], { cwd: app, stdio: 'inherit' });
if (status !== 0) {
  process.stderr.write(`npm could not install what docker/${target}/package.json needs, see above\n`);
  process.exit(1);
}
const locked = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages;
const installed = JSON.parse(fs.readFileSync(path.join(app, 'node_modules', '.package-lock.json'), 'utf8')).packages;
const strange = Object.entries(installed).filter(
  ([at, { version, link }]) => !link && at.includes('node_modules/') && locked[at]?.version !== version,
);
if (strange.length > 0) {
  process.stderr.write(`not what package-lock.json says: ${strange.map(([at, { version }]) => `${at} ${version}`).join(', ')}\n`);
  process.exit(1);
}

const scope = path.join(app, 'node_modules', '@harikube');
for (const at of needed)
  if (fs.existsSync(path.join(root, at, 'dist'))) copyCompiled(path.join(root, at, 'dist'), path.join(app, at, 'dist'));
// The launcher is no package that anything depends on: docker/TARGET/package.json says what it needs here.
for (const name of ['bin', 'dist']) copyCompiled(path.join(root, 'apps', 'cli', name), path.join(app, 'apps', 'cli', name));
fs.copyFileSync(path.join(root, 'apps', 'cli', 'package.json'), path.join(app, 'apps', 'cli', 'package.json'));
const nested = path.join(app, 'docker', target, 'node_modules');
if (fs.existsSync(nested)) fs.renameSync(nested, path.join(app, 'apps', 'cli', 'node_modules'));
fs.rmSync(path.join(app, 'docker'), { recursive: true });
fs.rmSync(path.join(scope, `image-${target}`));
for (const name of ['package-lock.json', '.npmrc', 'package.json', path.join('node_modules', '.package-lock.json')])
  fs.rmSync(path.join(app, name), { force: true });
trim(path.join(app, 'node_modules'));
const launcherModules = path.join(app, 'apps', 'cli', 'node_modules');
if (fs.existsSync(launcherModules)) trim(launcherModules);
const bundled = spawnSync(process.execPath, [path.join(root, 'scripts', 'bundle.mjs'), app], { stdio: 'inherit' });
if (bundled.status !== 0) process.exit(1);
// An image's user is nobody special: it reads everything and writes nothing.
spawnSync('chmod', ['-R', 'u+rwX,go+rX,go-w', app], { stdio: 'inherit' });

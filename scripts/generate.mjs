// Runs the generators: the `generate` script of every workspace that has one. Generated files live in `gen/` folders and are committed.
// `--check` fails when running the generators changed anything there, and when a `gen/` folder belongs to no generator.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const check = process.argv.includes('--check');

/** Every file in a `gen/` folder of the workspace, with the digest of its content. */
function generatedFiles(workspace) {
  const found = new Map();
  const walk = (folder, inGen) => {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const full = path.join(folder, entry.name);
      if (entry.isDirectory()) {
        if (entry.name !== 'node_modules' && entry.name !== 'dist') walk(full, inGen || entry.name === 'gen');
      } else if (inGen) found.set(path.relative(root, full), createHash('sha256').update(fs.readFileSync(full)).digest('hex'));
    }
  };
  walk(path.join(root, workspace), false);
  return found;
}

const readPackage = (folder) => JSON.parse(fs.readFileSync(path.join(root, folder, 'package.json'), 'utf8'));

const workspaces = readPackage('.').workspaces.flatMap((pattern) =>
  pattern.endsWith('/*')
    ? fs
        .readdirSync(path.join(root, pattern.slice(0, -2)))
        .map((name) => path.join(pattern.slice(0, -2), name))
        .filter((folder) => fs.existsSync(path.join(root, folder, 'package.json')))
    : [pattern],
);

const problems = [];
let generators = 0;
let files = 0;
for (const workspace of workspaces) {
  const before = generatedFiles(workspace);
  const hasGenerator = readPackage(workspace).scripts?.generate !== undefined;
  if (hasGenerator) {
    generators++;
    const result = spawnSync('npm', ['run', '--silent', 'generate', '--workspace', workspace], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (result.status !== 0) problems.push(`${workspace}: its generate script failed`);
  } else if (before.size > 0) {
    problems.push(`${workspace}: has generated files and no generate script in its package.json`);
  }
  const after = generatedFiles(workspace);
  files += after.size;
  if (!check) continue;
  for (const file of new Set([...before.keys(), ...after.keys()])) {
    if (before.get(file) !== after.get(file)) problems.push(`${file}: not what its generator makes; commit it as it is after this run`);
  }
}

for (const problem of problems) process.stderr.write(`generate: ${problem}\n`);
const state = check ? (problems.length === 0 ? ', all up to date' : '') : ' written';
process.stdout.write(`generate: ${generators} generators, ${files} generated files${files > 0 ? state : ''}\n`);
process.exitCode = problems.length > 0 ? 1 : 0;

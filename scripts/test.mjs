// All tests, on Node 24 and the compiled output: `unit` beside the sources, then `process`, whose files start real processes and go one at a
// time. Arguments go to jest (`npm test -- libs/keyspace -t compaction`). The last line counts the whole. With CI=true a program or a database
// that a test needs and cannot get is a failure, never a skip: the tests read that variable.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const extra = process.argv.slice(2);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'harikube-test-'));

const node = (args, stdio, variables) =>
  spawnSync(path.join(modules, '.bin', 'node'), args, {
    cwd: root,
    stdio,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${path.join(modules, '.bin')}${path.delimiter}${process.env.PATH ?? ''}`,
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim(),
      ...variables,
    },
  });
const jest = [path.join(modules, 'jest', 'bin', 'jest.js'), '--passWithNoTests'];

function runProject(project, options) {
  const tallyFile = path.join(scratch, `${project}.json`);
  const result = node([...jest, '--selectProjects', project, ...options, ...extra], 'inherit', { TALLY_FILE: tallyFile });
  // jest that ended without a tally has crashed, and jest may fail without a failed test (an unknown option): either is one failure.
  const tally = fs.existsSync(tallyFile) ? JSON.parse(fs.readFileSync(tallyFile, 'utf8')) : { passed: 0, failed: 0 };
  return { passed: tally.passed, failed: tally.failed || (result.status === 0 ? 0 : 1) };
}

/** True when the arguments leave any of the process tests in. */
const hasProcessTests = () =>
  node([...jest, '--selectProjects', 'process', '--listTests', ...extra], 'pipe').stdout.includes(`${path.sep}dist${path.sep}`);

const tallies = [];
try {
  tallies.push(runProject('unit', [`--maxWorkers=${os.availableParallelism()}`]));
  if (hasProcessTests()) {
    const binaries = node([path.join(root, 'scripts', 'prepare-binaries.mjs')], 'inherit');
    if (binaries.status === 0) tallies.push(runProject('process', ['--runInBand']));
    else {
      process.stderr.write('the tests in test/ did not run: they need the Kubernetes programs, see above\n');
      tallies.push({ passed: 0, failed: 1 });
    }
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}
const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
if (passed + failed === 0) process.stderr.write('no test ran: is there one that fits these arguments?\n');
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

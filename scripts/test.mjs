// All tests, on Node 24 and the compiled output: `unit` beside the sources, then `process`, whose files start real processes: two at a time,
// because most of them wait, and those that judge times one by one after them. Arguments go to jest (`npm test -- libs/keyspace -t compaction`). The last line counts the whole. With CI=true a program or a database
// that a test needs and cannot get is a failure, never a skip: the tests read that variable.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const extra = process.argv.slice(2);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'harikube-test-'));

/** jest has its result and does not end: something that a test opened keeps it. It gets this long to close it. */
const ENDING_MILLISECONDS = 60_000;

/** Runs a program on Node 24; `code` is null when it was killed. With a `result` file it has to end soon after it has written that. */
function node(args, { result, variables, isPiped = false } = {}) {
  const child = spawn(path.join(modules, '.bin', 'node'), args, {
    cwd: root,
    stdio: ['ignore', isPiped ? 'pipe' : 'inherit', 'inherit'],
    env: {
      ...process.env,
      PATH: `${path.join(modules, '.bin')}${path.delimiter}${process.env.PATH ?? ''}`,
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim(),
      ...variables,
    },
  });
  let output = '';
  child.stdout?.on('data', (chunk) => (output += chunk));
  let killer;
  const watcher = setInterval(() => {
    if (result === undefined || killer !== undefined || !fs.existsSync(result)) return;
    killer = setTimeout(() => {
      process.stderr.write('jest does not end: a test leaves something open; run its file alone with --detectOpenHandles\n');
      child.kill('SIGKILL');
    }, ENDING_MILLISECONDS);
  }, 1000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  }).finally(() => {
    clearInterval(watcher);
    clearTimeout(killer);
  });
}

const jest = [path.join(modules, 'jest', 'bin', 'jest.js'), '--passWithNoTests'];

let runs = 0;

async function runProject(project, options) {
  const tallyFile = path.join(scratch, `${project}-${++runs}.json`);
  const args = [...jest, '--selectProjects', project, ...options, ...extra];
  const { code } = await node(args, { result: tallyFile, variables: { TALLY_FILE: tallyFile } });
  // jest that ended without a tally has crashed, and jest may fail without a failed test (an unknown option): either is one failure.
  const tally = fs.existsSync(tallyFile) ? JSON.parse(fs.readFileSync(tallyFile, 'utf8')) : { passed: 0, failed: 0 };
  return { passed: tally.passed, failed: tally.failed || (code === 0 ? 0 : 1) };
}

/** The tests of a project that the arguments leave in. */
async function testsOf(project) {
  const { output } = await node([...jest, '--selectProjects', project, '--listTests', ...extra], { isPiped: true });
  return output.split('\n').filter((line) => line.includes(`${path.sep}dist${path.sep}`));
}

/** Those that start servers of databases, as jest matches paths. */
const DATABASES = '[/\\\\]libs[/\\\\]testing[/\\\\]dist[/\\\\](?:etcd|mariadb|postgres)-';

/** Those whose findings are times or memory, which a test beside them would change. */
const ALONE = '[/\\\\]test[/\\\\]dist[/\\\\](?:e2e[/\\\\](?:standby|up-databases|kube-informer|admission\\.)|fault[/\\\\]flood)';

/** True when programs and databases are there that tests start. */
async function prepare() {
  for (const [script, what] of [
    ['prepare-binaries.mjs', 'the Kubernetes programs'],
    ['prepare-databases.mjs', 'the databases'],
  ]) {
    const { code } = await node([path.join(root, 'scripts', script)]);
    if (code === 0) continue;
    process.stderr.write(`tests that start servers did not run: they need ${what}, see above\n`);
    return false;
  }
  return true;
}

const tallies = [];
try {
  const unit = [`--maxWorkers=${os.availableParallelism()}`, '--testTimeout=30000'];
  const tests = { unit: await testsOf('unit'), process: await testsOf('process') };
  const usesDatabases = (test) => new RegExp(DATABASES).test(test);
  // While the programs may still be built beside them, those that need none.
  if (!tests.unit.every(usesDatabases))
    tallies.push(await runProject('unit', [`--testPathIgnorePatterns=/node_modules/|${DATABASES}`, ...unit]));
  if (tests.process.length > 0 || tests.unit.some(usesDatabases)) {
    if (await prepare()) {
      if (tests.unit.some(usesDatabases)) tallies.push(await runProject('unit', [`--testPathIgnorePatterns=^(?!.*${DATABASES})`, ...unit]));
      const judgesTime = (test) => new RegExp(ALONE).test(test);
      if (!tests.process.every(judgesTime))
        tallies.push(
          await runProject('process', [
            `--testPathIgnorePatterns=/node_modules/|${ALONE}`,
            '--maxWorkers=2',
            `--testSequencer=${path.join(root, 'scripts', 'longest-first.mjs')}`,
            '--testTimeout=300000',
          ]),
        );
      if (tests.process.some(judgesTime))
        tallies.push(await runProject('process', [`--testPathIgnorePatterns=^(?!.*${ALONE})`, '--runInBand', '--testTimeout=300000']));
    } else tallies.push({ passed: 0, failed: 1 });
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}
const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
if (passed + failed === 0) process.stderr.write('no test ran: is there one that fits these arguments?\n');
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

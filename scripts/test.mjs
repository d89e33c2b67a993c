// All tests, on Node 24 and the compiled output: `unit` beside the sources, then `process`, whose files start real processes: three at a time,
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
const scratch = scratchFolder();
// A run that is given up leaves nothing in memory.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => {
    fs.rmSync(scratch, { recursive: true, force: true });
    process.kill(process.pid, signal);
  });

/** jest has its result and does not end: something that a test opened keeps it. It gets this long to close it. */
const ENDING_MILLISECONDS = 60_000;

/**
 * Where tests put their files: in memory where there is plenty of it, since a sync waits for no disk there, and making and removing many thousands of files takes the kernel
 * less. Who sets TMPDIR has them there.
 */
function scratchFolder() {
  const memory = '/dev/shm';
  const prefix = `harikube-${process.pid}-`;
  const isRoomy =
    process.env.TMPDIR === undefined &&
    Math.min(os.freemem(), process.constrainedMemory() || Infinity) >= 8 * 2 ** 30 &&
    runsPrograms(memory) &&
    freeBytes(memory) >= 4 * 2 ** 30;
  const folder = fs.mkdtempSync(path.join(isRoomy ? memory : os.tmpdir(), prefix));
  // PostgreSQL does not run as root, and is started as somebody else.
  fs.chmodSync(folder, 0o755);
  return folder;
}

/** Images and programs of tests are started from there, as they are from a disk. */
function runsPrograms(folder) {
  const mounts = fs.existsSync('/proc/mounts') ? fs.readFileSync('/proc/mounts', 'utf8').split('\n') : [];
  const options = mounts.map((line) => line.split(' ')).findLast(([, place]) => place === folder)?.[3];
  return options !== undefined && !/\bno(?:exec|dev|suid)\b/.test(options);
}

function freeBytes(folder) {
  const { bavail, bsize } = fs.statfsSync(folder);
  return bavail * bsize;
}

/** Runs a program on Node 24; `code` is null when it was killed. With a `result` file it has to end soon after it has written that. */
function node(args, { result, variables, isPiped = false, isNice = false } = {}) {
  const program = path.join(modules, '.bin', 'node');
  const [command, ...rest] = isNice ? ['nice', '-n', '15', program, ...args] : [program, ...args];
  const child = spawn(command, rest, {
    cwd: root,
    stdio: ['ignore', isPiped ? 'pipe' : 'inherit', 'inherit'],
    env: {
      ...process.env,
      PATH: `${path.join(modules, '.bin')}${path.delimiter}${process.env.PATH ?? ''}`,
      // Where the launcher has it, too: programs of tests, which have no launcher, read what the last one compiled.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? path.join(os.tmpdir(), 'node-compile-cache'),
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

// V8 keeps what it compiled for whoever compiles the same text again, and with it everything that the text's test file had in memory, which its collector would
// visit over and over; scripts/compiled-once.mjs has what is of use of it. The young generation is large enough for most files.
const jest = ['--no-compilation-cache', '--max-semi-space-size=64', path.join(modules, 'jest', 'bin', 'jest.js'), '--passWithNoTests'];

let runs = 0;

async function runProject(project, options) {
  const tallyFile = path.join(scratch, `${project}-${++runs}.json`);
  const args = [...jest, '--selectProjects', project, ...options, ...extra];
  // Kubernetes' programs, etcd and helm start some hundred times and keep little: this saves an eighth of kube-apiserver's processor time. A compiler that a test
  // starts collects as seldom, not never.
  const variables = { TALLY_FILE: tallyFile, TMPDIR: scratch, GOGC: process.env.GOGC ?? '400', ...prepared };
  const { code } = await node(args, { result: tallyFile, variables });
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

/** Those whose findings are times or memory, which a test beside them would change, and one that takes all that there is of the processors. */
const ALONE =
  '[/\\\\]test[/\\\\]dist[/\\\\](?:consistency[/\\\\]consistency|e2e[/\\\\](?:standby\\.|up-databases)|fault[/\\\\](?:databases\\.|flood))';

/** Those that mount and make network namespaces. */
const AS_ROOT = '[/\\\\]test[/\\\\]dist[/\\\\](?:images[/\\\\]images|charts[/\\\\](?:webshop|data-layer-install))\\.spec';

const matches = (pattern) => (test) => new RegExp(pattern).test(test);

/** What tests start that may have to be fetched or built first, and which tests: beside the tests that need nothing of it, with what they leave of the processors. */
const PREPARATIONS = [
  { script: 'scripts/prepare-binaries.mjs', what: 'the Kubernetes programs', pattern: '.' },
  // Writes a folder, or nothing; who has set the variable goes first.
  {
    script: 'test/dist/single-programs/prepare-program.js',
    what: 'kubectl, etcd and etcdctl',
    pattern: '.',
    variable: 'KUBEBUILDER_ASSETS',
  },
  { script: 'scripts/prepare-databases.mjs', what: 'the databases', pattern: '.' },
];
/** The same for some of the process tests, beside those that need only databases. */
const FURTHER_PREPARATIONS = [
  { script: 'test/dist/charts/prepare.js', what: 'helm and kubeconform', pattern: '[/\\\\]dist[/\\\\](?:charts|docs)[/\\\\]' },
  {
    script: 'test/dist/kubernetes-e2e/prepare-program.js',
    what: "Kubernetes' e2e specs",
    pattern: '[/\\\\]dist[/\\\\]kubernetes-e2e[/\\\\]',
  },
];

/** Variables of tests: where they find what was prepared. */
const prepared = {};

/** True when all is there that these tests start. */
async function prepare(preparations, tests) {
  for (const { script, what, pattern, variable } of preparations) {
    if (!tests.some(matches(pattern)) || (variable !== undefined && process.env[variable] !== undefined)) continue;
    const { code, output } = await node([path.join(root, script)], { isNice: true, isPiped: variable !== undefined });
    if (output.trim() !== '') prepared[variable] = output.trim();
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
  const usesDatabases = matches(DATABASES);
  const needy = [...tests.process, ...tests.unit.filter(usesDatabases)];
  const preparing = prepare(PREPARATIONS, needy);
  if (!tests.unit.every(usesDatabases))
    tallies.push(await runProject('unit', [`--testPathIgnorePatterns=/node_modules/|${DATABASES}`, ...unit]));
  if (!(await preparing)) tallies.push({ passed: 0, failed: 1 });
  else {
    const preparedFurther = prepare(FURTHER_PREPARATIONS, tests.process);
    if (tests.unit.some(usesDatabases)) tallies.push(await runProject('unit', [`--testPathIgnorePatterns=^(?!.*${DATABASES})`, ...unit]));
    // On a laptop those are left out; in CI they fail where they cannot run.
    const isLeftOut = (test) => process.getuid?.() !== 0 && process.env.CI !== 'true' && matches(AS_ROOT)(test);
    const leftOut = tests.process.filter(isLeftOut);
    if (leftOut.length > 0)
      process.stdout.write(`left out, since they need root: ${leftOut.map((test) => path.relative(root, test)).join(', ')}\n`);
    const isPrepared = await preparedFurther;
    if (!isPrepared) tallies.push({ passed: 0, failed: 1 });
    const chosen = isPrepared ? tests.process.filter((test) => !isLeftOut(test)) : [];
    const ignored = leftOut.length > 0 ? `|${AS_ROOT}` : '';
    if (!chosen.every(matches(ALONE)))
      tallies.push(
        await runProject('process', [
          `--testPathIgnorePatterns=/node_modules/|${ALONE}${ignored}`,
          '--maxWorkers=3',
          `--testSequencer=${path.join(root, 'scripts', 'longest-first.mjs')}`,
          '--testTimeout=300000',
        ]),
      );
    if (chosen.some(matches(ALONE)))
      tallies.push(await runProject('process', [`--testPathIgnorePatterns=^(?!.*${ALONE})`, '--runInBand', '--testTimeout=300000']));
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}
const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
if (passed + failed === 0) process.stderr.write('no test ran: is there one that fits these arguments?\n');
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

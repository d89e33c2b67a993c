import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { runProgram } from '../run-program.js';

export interface TestProgram {
  readonly name: string;
  readonly path: string;
  /** Regular expression over the names of tests, as for `go test -run` (its first element). */
  readonly pattern: string;
  readonly env: NodeJS.ProcessEnv;
  /** Where outputs and the logs of failed tests' servers go. */
  readonly folder: string;
}

export interface TestReport {
  readonly name: string;
  readonly tests: number;
  readonly passed: number;
  readonly skipped: readonly string[];
  /** Failed among the others and passed alone. */
  readonly timing: readonly string[];
  /** Failed among the others and alone. */
  readonly failed: readonly string[];
  readonly seconds: number;
}

type Outcome = 'PASS' | 'FAIL' | 'SKIP';

interface Pass {
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** The test that was running when the program stopped before its end. */
  readonly interruptedBy: string | null;
  /** The last lines that tests wrote themselves. */
  readonly words: readonly string[];
}

const TEST_LIMIT_SECONDS = 300;
const WORDS = 10;

/**
 * Runs a compiled Go test program, one test at a time. A test that takes the whole program down (a panic, its time
 * limit) counts as failed and the program goes on behind it. Each failed test is then run once more alone, since some
 * of Kubernetes' storage tests depend on timing.
 */
export async function runTestProgram(program: TestProgram, note: (text: string) => void): Promise<TestReport> {
  const started = performance.now();
  await mkdir(program.folder, { recursive: true });
  const listing = await runProgram(program.path, ['-test.list', program.pattern]);
  const names = listing.split('\n').filter((line) => line.startsWith('Test'));

  const outcomes = new Map<string, Outcome>();
  let file = 0;
  for (let left = names; left.length > 0; left = left.filter((name) => !outcomes.has(name))) {
    const pass = await runOnce(program, { names: left, parallel: 1 }, `${program.name}.${++file}.out`, (name, outcome) => {
      if (outcome === 'FAIL') note(`${program.name}: ${name} failed, it gets a second try alone`);
      else if ((outcomes.size + 1) % 10 === 0) note(`${program.name}: ${outcomes.size + 1} of ${names.length}`);
      outcomes.set(name, outcome);
    });
    if (pass.interruptedBy !== null) {
      note(`${program.name}: ${pass.interruptedBy} stopped the test program`);
      outcomes.set(pass.interruptedBy, 'FAIL');
    } else {
      // Tests that the program did not mention cannot be waited for.
      for (const name of left) if (!outcomes.has(name)) outcomes.set(name, 'FAIL');
    }
  }

  const timing: string[] = [];
  const failed: string[] = [];
  for (const name of names.filter((each) => outcomes.get(each) === 'FAIL')) {
    // Its subtests side by side: TestGet has one that waits for 3 s and others that need an object which lives for 1 s.
    const alone = await runOnce(program, { names: [name], parallel: 8 }, `${program.name}.${name}.alone.out`, () => undefined);
    const passed = alone.outcomes.get(name) === 'PASS' && alone.interruptedBy === null;
    note(`${program.name}: ${name} ${passed ? 'passes alone' : ['fails alone as well', ...alone.words].join('\n')}`);
    (passed ? timing : failed).push(name);
  }
  const skipped = names.filter((name) => outcomes.get(name) === 'SKIP');
  return {
    name: program.name,
    tests: names.length,
    passed: names.length - skipped.length - failed.length,
    skipped,
    timing,
    failed,
    seconds: (performance.now() - started) / 1000,
  };
}

async function runOnce(
  program: TestProgram,
  { names, parallel }: { readonly names: readonly string[]; readonly parallel: number },
  file: string,
  onEnd: (name: string, outcome: Outcome) => void,
): Promise<Pass> {
  const temporary = join(program.folder, 'logs');
  await mkdir(temporary, { recursive: true });
  const args = [
    '-test.v',
    `-test.parallel=${parallel}`,
    `-test.timeout=${TEST_LIMIT_SECONDS + 20 * names.length}s`,
    `-test.run=^(${names.join('|')})$`,
  ];
  // A group of its own, so that servers which the program leaves behind when it panics can be ended with it.
  const child = spawn(program.path, args, {
    cwd: program.folder,
    env: { ...program.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  process.once('exit', killGroup);

  const output = createWriteStream(join(program.folder, file));
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  const outcomes = new Map<string, Outcome>();
  const words: string[] = [];
  let running: string | null = null;
  createInterface(child.stdout).on('line', (line) => {
    const begun = /^=== RUN +(\w+)$/.exec(line);
    if (begun?.[1] !== undefined) running = begun[1];
    if (/^ +\w+\.go:\d+: /.test(line)) words.push(line);
    if (words.length > WORDS) words.shift();
    const ended = /^--- (PASS|FAIL|SKIP): (\w+) /.exec(line);
    if (ended?.[1] === undefined || ended[2] === undefined) return;
    outcomes.set(ended[2], ended[1] as Outcome);
    onEnd(ended[2], ended[1] as Outcome);
    if (ended[2] === running) running = null;
  });
  const closed = Promise.withResolvers<void>();
  child.once('error', closed.reject);
  // Its servers hold the same pipes, hence 'exit' first.
  child.once('exit', killGroup);
  child.once('close', () => closed.resolve());
  await closed.promise;
  process.removeListener('exit', killGroup);
  output.end();
  await finished(output);
  // Of servers that went from test to test.
  const left = (await readdir(temporary)).filter((name) => name.startsWith('server'));
  await Promise.all(left.map((name) => rm(join(temporary, name), { recursive: true, maxRetries: 5 })));
  return { outcomes, interruptedBy: running, words };
}

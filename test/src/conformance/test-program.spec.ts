import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readEnv } from '@harikube/platform';
import { runTestProgram, type TestReport } from './test-program.js';

// Speaks like a compiled Go test program. TestFlaky fails unless it is alone, TestPanics takes the program down, TestBad fails always.
const PROGRAM = `#!/bin/sh
case "$1" in
-test.list) printf 'TestGood\\nTestFlaky\\nTestPanics\\nTestSkipped\\nTestBad\\nTestLast\\n'; exit;;
esac
for word; do case "$word" in -test.run=*) names=$(echo "$word" | sed 's/^-test.run=^(//; s/)\\$$//; s/|/ /g');; esac; done
echo "$names" >> "$RUNS"
for name in $names; do
  echo "=== RUN   $name"
  outcome=PASS
  case $name in
  TestFlaky) [ "$names" = TestFlaky ] || outcome=FAIL;;
  TestBad) echo '    bad_test.go:7: got 1, want 2'; outcome=FAIL;;
  TestSkipped) outcome=SKIP;;
  TestPanics) echo 'panic: at the disco' >&2; exit 2;;
  esac
  echo "--- $outcome: $name (0.00s)"
done
`;

describe('runTestProgram', () => {
  let folder = '';
  let report: TestReport;
  let runs: string[] = [];
  let notes: string[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'test-program-'));
    const path = join(folder, 'fake.test');
    await writeFile(path, PROGRAM);
    await chmod(path, 0o755);
    const env = { ...readEnv(), RUNS: join(folder, 'runs') };
    notes = [];
    report = await runTestProgram({ name: 'fake', path, pattern: '.', env, folder }, (text) => notes.push(text));
    runs = (await readFile(join(folder, 'runs'), 'utf8')).trim().split('\n');
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('goes on behind a test that takes the program down', () => {
    expect(runs.slice(0, 2)).toEqual(['TestGood TestFlaky TestPanics TestSkipped TestBad TestLast', 'TestSkipped TestBad TestLast']);
  });

  it('runs each failed test once more alone', () => {
    expect(runs.slice(2)).toEqual(['TestFlaky', 'TestPanics', 'TestBad']);
  });

  it('fails only what fails alone as well', () => {
    expect(report).toMatchObject({
      tests: 6,
      passed: 3,
      skipped: ['TestSkipped'],
      timing: ['TestFlaky'],
      failed: ['TestPanics', 'TestBad'],
    });
  });

  it('says why a test failed alone as well', () => {
    expect(notes.at(-1)).toBe('fake: TestBad fails alone as well\n    bad_test.go:7: got 1, want 2');
  });

  it('keeps what the program wrote', async () => {
    await expect(readFile(join(folder, 'fake.1.out'), 'utf8')).resolves.toContain('panic: at the disco');
  });
});

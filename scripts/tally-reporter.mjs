import { writeFileSync } from 'node:fs';

// Closes a jest run with the line `N passed, N failed`, alone on the last line. A test file that could not be loaded counts as one failure,
// so that a run with a broken file can never read as green. scripts/test.mjs runs jest more than once and prints one line for the whole:
// it names a file in TALLY_FILE, and the numbers go there instead.
export default class TallyReporter {
  onRunComplete(_contexts, results) {
    const tally = { passed: results.numPassedTests, failed: results.numFailedTests + results.numRuntimeErrorTestSuites };
    if (process.env.TALLY_FILE) {
      writeFileSync(process.env.TALLY_FILE, JSON.stringify(tally));
      return;
    }
    process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
  }
}

import { parseArgs } from 'node:util';
import { DISK_FAULTS, runDiskFaults } from './disk-faults.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_ROUNDS = 20;

export const DISKS_USAGE = `disks      SQLite's disks are full, read-only or fail, under the workload and the judge of the consistency checker
  --rounds N       how often each of ${DISK_FAULTS.length} faults happens to each of two databases; default: ${DEFAULT_ROUNDS}
  --seed N         decides what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runDisks(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string' }, seed: { type: 'string' } } });
  const rounds = wholeNumber('rounds', values.rounds ?? String(DEFAULT_ROUNDS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  print(`seed ${seed}, ${rounds} rounds of ${DISK_FAULTS.length} faults`);
  const startedAt = performance.now();
  const { verdict, happened } = await runDiskFaults({ seed, rounds, onHappened: print });
  for (const finding of verdict.findings.slice(0, 10)) print(`  FINDING ${finding.rule}: ${finding.text}`);
  const took = Math.round((performance.now() - startedAt) / 1000);
  print(`${happened} faults in ${took} s under ${verdict.writes} writes, ${verdict.reads} reads and ${verdict.events} events`);
  print(`${verdict.findings.length} findings`);
  return verdict.findings.length === 0 ? 0 : 1;
}

import { parseArgs } from 'node:util';
import { runClockJumps } from './clock-jumps.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_JUMPS = 200;
/** Jumps of one store. */
const JUMPS_OF_AN_EPISODE = 20;

export const CLOCK_USAGE = `clock      the wall clock of a router jumps forward and back by hours, under the workload and the judge of the consistency checker
  --jumps N        how often; default: ${DEFAULT_JUMPS}
  --seed N         decides how far, and what the clients do; default: from the time`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runClock(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { jumps: { type: 'string' }, seed: { type: 'string' } } });
  const jumps = wholeNumber('jumps', values.jumps ?? String(DEFAULT_JUMPS));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  print(`seed ${seed}, ${jumps} jumps of the clock`);
  const startedAt = performance.now();
  let all = 0;
  for (let done = 0, episode = 1; done < jumps; episode++) {
    const now = Math.min(JUMPS_OF_AN_EPISODE, jumps - done);
    const { verdict, findings } = await runClockJumps({ seed: seed + episode, jumps: now });
    done += now;
    all += findings.length + verdict.findings.length;
    print(`episode ${episode}: ${now} jumps under ${verdict.writes} writes, ${verdict.reads} reads and ${verdict.events} events`);
    for (const finding of findings) print(`  FINDING ${finding}`);
    for (const finding of verdict.findings.slice(0, 10)) print(`  FINDING ${finding.rule}: ${finding.text}`);
  }
  print(`${jumps} jumps with seed ${seed} in ${Math.round((performance.now() - startedAt) / 1000)} s, ${all} findings`);
  return all === 0 ? 0 : 1;
}

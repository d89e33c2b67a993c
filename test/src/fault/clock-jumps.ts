import type { Verdict } from '../consistency/judge.js';
import { Random } from '@harikube/testing';
import Database from 'better-sqlite3';
import { runCheckedEpisode } from './checked-episode.js';
import { FakeClock } from './fake-clock.js';
import type { GrantedLease } from './probe.js';
import { ThreeFiles } from './three-files.js';

/** Far beyond the longest lease of a story. */
const JUMP_HOURS = { least: 2, more: 10 };
const LONG_S = 3600n;
const SHORT_S = 2n;
const CALLS_AFTER_A_JUMP = 100;
const HOUR_MS = 3_600_000;

export interface ClockJumps {
  readonly verdict: Verdict;
  /** Sentences about what must not be: empty when all is well. */
  readonly findings: readonly string[];
}

/** A router whose wall clock jumps forward and back in turn, by hours. */
export async function runClockJumps({ seed, jumps }: { readonly seed: number; readonly jumps: number }): Promise<ClockJumps> {
  const files = await ThreeFiles.create();
  const findings: string[] = [];
  try {
    const clock = await FakeClock.create(files.beside('clock'));
    const random = new Random(seed);
    const [main] = files.areas;
    if (main === undefined) throw new Error('the router has no area');
    const verdict = await runCheckedEpisode({ seed, files, env: clock.env, hasFaults: false }, async ({ probe, goOn }) => {
      const longKey = probe.key(main.prefix);
      const long = await probe.grant(longKey, LONG_S);
      for (let jump = 1; jump <= jumps; jump++) {
        const hours = (jump % 2 === 1 ? 1 : -1) * (JUMP_HOURS.least + random.below(JUMP_HOURS.more));
        const name = `jump ${jump}, to ${hours} h`;
        const shortKey = probe.key(main.prefix);
        const short = await probe.grant(shortKey, SHORT_S);
        const before = expiryOf(files.file(main), await probe.grant(probe.key(main.prefix), LONG_S));
        await clock.set(hours);
        const after = expiryOf(files.file(main), await probe.grant(probe.key(main.prefix), LONG_S));
        if (Math.abs(after - before) < HOUR_MS) findings.push(`${name}: the clock of the router did not jump`);
        await goOn(CALLS_AFTER_A_JUMP);
        if (!(await probe.livesOut(shortKey, short))) findings.push(`${name}: a lease of ${SHORT_S} s ended early`);
        if ((await probe.keepAlive(short)) !== 0n) findings.push(`${name}: a lease without its keys is kept alive`);
        if (!(await probe.has(longKey))) findings.push(`${name}: a lease of ${LONG_S} s has ended`);
        // Only in the end: one that is kept alive gets its whole time again.
        if (jump === jumps && (await probe.keepAlive(long)) !== LONG_S) findings.push(`${name}: a lease of ${LONG_S} s is not kept alive`);
      }
    });
    return { verdict, findings };
  } finally {
    await files.remove();
  }
}

/** What the store keeps of a lease's end, in milliseconds since 1970. */
function expiryOf(file: string, { id }: GrantedLease): number {
  const database = new Database(file, { readonly: true });
  try {
    const row = database.prepare<[bigint], [number]>('SELECT expires_at FROM lease WHERE id = ?').raw(true).get(id);
    if (row === undefined) throw new Error(`lease ${id} is not in ${file}`);
    return row[0];
  } finally {
    database.close();
  }
}

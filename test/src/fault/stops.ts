import type { Verdict } from '../consistency/judge.js';
import { runCheckedEpisode } from './checked-episode.js';
import { ThreeFiles } from './three-files.js';

const SHORT_S = 2n;
/** Time to answer once the router goes on. */
const ANSWER_WITHIN_MS = 30_000;
const CALLS_BETWEEN = 200;
/** The router waits for a database as long as this: what was under way when it was stopped for longer is refused as unavailable. */
const BACKEND_TIMEOUT_S = 5;

export interface Stops {
  readonly verdict: Verdict;
  /** Sentences about what must not be: empty when all is well. */
  readonly findings: readonly string[];
}

export interface StopsPlan {
  readonly seed: number;
  readonly stops: number;
  /** How long the router does nothing: more than a short lease of 2 s. */
  readonly seconds: number;
}

/** A router that is stopped by SIGSTOP and goes on by SIGCONT. No answer is due meanwhile; after less than the router's patience with a database nothing may be refused. */
export async function runStops({ seed, stops, seconds }: StopsPlan): Promise<Stops> {
  const files = await ThreeFiles.create();
  const findings: string[] = [];
  const [main] = files.areas;
  if (main === undefined) throw new Error('the router has no area');
  const answerWithinMs = seconds * 1000 + ANSWER_WITHIN_MS;
  const longTtl = BigInt(2 * seconds + 60);
  try {
    const hasFaults = seconds >= BACKEND_TIMEOUT_S;
    const verdict = await runCheckedEpisode({ seed, files, hasFaults, answerWithinMs }, async ({ router, probe, goOn }) => {
      for (let stop = 1; stop <= stops; stop++) {
        await goOn(CALLS_BETWEEN);
        const [shortKey, longKey] = [probe.key(main.prefix), probe.key(main.prefix)];
        const long = await probe.grant(longKey, longTtl);
        const short = await probe.grant(shortKey, SHORT_S);
        router.pause();
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        router.resume();
        // As with etcd: its time went on while nobody could keep it alive.
        if ((await probe.keepAlive(short)) !== 0n) findings.push(`stop ${stop}: a lease of ${SHORT_S} s is alive after ${seconds} s`);
        if (!(await probe.livesOut(shortKey, short))) findings.push(`stop ${stop}: a lease ended early`);
        if ((await probe.keepAlive(long)) !== longTtl) findings.push(`stop ${stop}: a lease of ${longTtl} s has ended`);
        if (!(await probe.has(longKey))) findings.push(`stop ${stop}: the key of a lease of ${longTtl} s is gone`);
        await goOn(CALLS_BETWEEN);
      }
    });
    return { verdict, findings };
  } finally {
    await files.remove();
  }
}

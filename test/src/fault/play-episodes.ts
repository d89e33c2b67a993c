import type { Verdict } from '../consistency/judge.js';

export interface EpisodesPlan {
  /** What happens, in the plural. */
  readonly what: string;
  /** How often it happens. */
  readonly count: number;
  /** How often it happens to one store: its whole history is kept in memory until it is judged. */
  readonly countOfEpisode: number;
  /** Each episode has the next one. */
  readonly seed: number;
  readonly print: (line: string) => void;
}

export interface EpisodeResult {
  readonly verdict: Verdict;
  /** Sentences about what must not be, beside those of the verdict. */
  readonly findings?: readonly string[];
}

/** So many findings of an episode are told. */
const TOLD = 10;

/** Plays a long run in episodes, each on a store of its own, and prints what came of it; resolves with the process's exit code. */
export async function playEpisodes(
  { what, count, countOfEpisode, seed, print }: EpisodesPlan,
  play: (episode: { readonly seed: number; readonly count: number }) => Promise<EpisodeResult>,
): Promise<number> {
  print(`seed ${seed}, ${count} ${what}`);
  const startedAt = performance.now();
  let all = 0;
  for (let done = 0, episode = 1; done < count; episode++) {
    const now = Math.min(countOfEpisode, count - done);
    const { verdict, findings = [] } = await play({ seed: seed + episode, count: now });
    const sentences = [...findings, ...verdict.findings.map(({ rule, text }) => `${rule}: ${text}`)];
    done += now;
    all += sentences.length;
    print(
      `episode ${episode}: ${now} ${what}, ${sentences.length} findings of ${verdict.writes} writes, ${verdict.reads} reads and ${verdict.events} events`,
    );
    for (const sentence of sentences.slice(0, TOLD)) print(`  FINDING ${sentence}`);
  }
  print(`${count} ${what} with seed ${seed} in ${Math.round((performance.now() - startedAt) / 1000)} s, ${all} findings`);
  return all === 0 ? 0 : 1;
}

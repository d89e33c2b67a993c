import { type EpisodePlan, runEpisode } from './episode.js';
import { type Finding, judge } from './judge.js';
import type { Mutant } from './mutants.js';

export interface Catch {
  readonly mutant: string;
  /** What it was caught by; null: it was not. */
  readonly finding: Finding | null;
  readonly seconds: number;
  readonly episodes: number;
}

/** Looks for a mutant in episodes that grow, until it is caught or the time is over. */
export async function hunt(mutant: Mutant, seed: number, seconds: number): Promise<Catch> {
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  for (let episode = 0; ; episode++) {
    const { findings } = judge(await runEpisode(planFor(mutant, seed + episode, Math.min(3, episode))));
    const [finding = null] = findings;
    if (finding !== null || elapsed() >= seconds) return { mutant: mutant.name, finding, seconds: elapsed(), episodes: episode + 1 };
  }
}

function planFor({ name, isOfCrashes }: Mutant, seed: number, size: number): EpisodePlan {
  const kills = isOfCrashes ? 1 : 0;
  return { seed, clients: 8, operations: 50 * 3 ** size, keysOfArea: 8, seconds: 30, mutants: [name], kills, awaitsLeases: size > 0 };
}

/** Several at a time, in their order. */
export async function huntAll(
  mutants: readonly Mutant[],
  options: { readonly seed: number; readonly seconds: number; readonly atOnce: number; readonly onCatch?: (caught: Catch) => void },
): Promise<Catch[]> {
  const { seed, seconds, atOnce, onCatch } = options;
  const caught: Catch[] = [];
  const waiting = [...mutants];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const each = await hunt(next, seed, seconds);
      caught.push(each);
      onCatch?.(each);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return caught;
}

import { type EpisodePlan, runEpisode } from './episode.js';
import type { Finding } from './finding.js';
import { judge } from './judge.js';
import { THREE_FILES } from './engines.js';
import { type Mutant, UNEVEN } from './mutants.js';

export interface Catch {
  readonly mutant: string;
  /** What it was caught by; null: it was not. */
  readonly finding: Finding | null;
  readonly seconds: number;
  readonly episodes: number;
}

/** Looks for a mutant in episodes that grow, until it is caught or the time is over. */
async function hunt(mutant: Mutant, seed: number, seconds: number): Promise<Catch> {
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  for (let episode = 0; ; episode++) {
    const { findings } = judge(await runEpisode(planFor(mutant, seed + episode, Math.min(3, episode))));
    const [finding = null] = findings;
    if (finding !== null || elapsed() >= seconds) return { mutant: mutant.name, finding, seconds: elapsed(), episodes: episode + 1 };
  }
}

function planFor({ name, isOfCrashes }: Mutant, seed: number, size: number): EpisodePlan {
  const basis = { seed, engines: THREE_FILES, clients: 8, keysOfArea: 8, mutants: [name, UNEVEN.name], awaitsLeases: size > 0 };
  // What a crash has done shows when the clients go on behind it.
  if (isOfCrashes) return { ...basis, operations: null, seconds: 1 + 2 * size, kills: 1 };
  return { ...basis, operations: 100 * 3 ** size, seconds: 30, kills: 0 };
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

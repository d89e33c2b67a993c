import { parseTopologyDocuments, TopologyError, type TopologyProblem } from '@harikube/datasources';
import type { Clock } from '@harikube/kube';
import {
  type RouterAdminClient,
  RouterAdminError,
  type RouterTopologyMove,
  type RouterTopologyPlan,
  type RouterTopologyProblem,
} from '@harikube/platform';
import type { MergedEntry, Refusal } from './merge-topology.js';
import { documentKeys, secretTexts, versionOf } from './merged-secret.js';

/** Of `RouterAdminClient`, what judging takes. */
export type Planner = Pick<RouterAdminClient, 'plan'>;

/** What Kubernetes takes in a Secret is 1 MiB; some of it is for metadata. */
const MAX_BYTES = 1_000_000;
/** A refusal is believed so long: counting keys is work for the router, and what is held is looked at again and again. */
const BELIEVED_MS = 30_000;
const MAX_REMEMBERED = 256;
/** Of problems, in one message. */
const MAX_SHOWN = 5;

interface Remembered {
  readonly refusal: Refusal;
  readonly until: number;
}

/** Says whether documents can be put into the target: by their text, and by what the router finds in its databases. */
export class TopologyJudge {
  readonly #clock: Clock;
  readonly #refusals = new Map<string, Remembered>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Null: they can. Without a router the text alone is judged. */
  async judge(entries: readonly MergedEntry[], planner: Planner | null, signal: AbortSignal): Promise<Refusal | null> {
    const texts = secretTexts(entries);
    const bytes = [...texts].reduce((sum, [name, text]) => sum + name.length + Buffer.byteLength(text), 0);
    if (bytes > MAX_BYTES) {
      const message = `the merged rules have ${bytes} bytes, and a Secret takes ${MAX_BYTES}; use another target for some of them`;
      return { reason: 'TooLarge', message };
    }
    const problems = problemsOf(entries);
    if (problems !== null) return problems;
    if (planner === null) return null;
    const version = versionOf(texts);
    const known = this.#refusals.get(version);
    if (known !== undefined && known.until > this.#clock.monotonic()) return known.refusal;
    this.#refusals.delete(version);
    const refusal = await this.#plan(texts, planner, signal);
    // A router that does not answer is asked again at once.
    if (refusal !== null && refusal.reason !== 'RouterUnreachable') this.#remember(version, refusal);
    return refusal;
  }

  /** What was refused is judged anew. */
  forget(): void {
    this.#refusals.clear();
  }

  async #plan(texts: ReadonlyMap<string, string>, planner: Planner, signal: AbortSignal): Promise<Refusal | null> {
    try {
      return refusalOf(
        await planner.plan(
          [...texts].map(([name, text]) => ({ name, text })),
          signal,
        ),
      );
    } catch (error) {
      if (!(error instanceof RouterAdminError)) throw error;
      if (error.isUnavailable) return { reason: 'RouterUnreachable', message: error.message };
      return { reason: 'RouterRefused', message: `the router does not judge the rules: ${error.message}` };
    }
  }

  #remember(version: string, refusal: Refusal): void {
    const [oldest] = this.#refusals.keys();
    if (this.#refusals.size >= MAX_REMEMBERED && oldest !== undefined) this.#refusals.delete(oldest);
    this.#refusals.set(version, { refusal, until: this.#clock.monotonic() + BELIEVED_MS });
  }
}

function problemsOf(entries: readonly MergedEntry[]): Refusal | null {
  const documents = [...documentKeys(entries)].map(([name, { document }]) => ({ name, text: document.text }));
  try {
    parseTopologyDocuments(documents);
    return null;
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    return invalid(error.problems);
  }
}

/** Null: the plan can be carried out. */
function refusalOf({ check, moves, problems }: RouterTopologyPlan): Refusal | null {
  if (check.length > 0) return invalid(check);
  if (moves.length > 0) return { reason: 'DataWouldMove', message: movesText(moves) };
  if (problems.length > 0) return { reason: 'RouterRefused', message: listed(problems) };
  return null;
}

/** How many keys are in the way, where they are, where they would have to be, and the way out. */
export function movesText(moves: readonly RouterTopologyMove[]): string {
  const texts = listed(
    moves.map(
      ({ from, to, keys, bytes, example }) =>
        `${keys} ${keys === 1 ? 'key' : 'keys'} (${bytes} bytes) in "${from}" would have to be in "${to}", such as ${example}`,
    ),
  );
  return `${texts}; delete these objects first, since keys are not moved`;
}

function invalid(problems: readonly (TopologyProblem | RouterTopologyProblem)[]): Refusal {
  return {
    reason: 'InvalidTopology',
    message: listed(problems.map(({ file, path, message }) => [file, path, message].filter((part) => part !== '').join(': '))),
  };
}

function listed(texts: readonly string[]): string {
  const more = texts.length - MAX_SHOWN;
  return [...texts.slice(0, MAX_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

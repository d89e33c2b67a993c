import type { EpisodePlan } from './episode.js';
import type { History } from './history.js';
import { judge } from './judge.js';
import { showCall, showMessage, showWatch } from './show.js';

/** Threads take turns as they like: a plan that fails may go well once. */
const ATTEMPTS = 3;

export interface Failure {
  readonly plan: EpisodePlan;
  readonly history: History;
}

/** Makes a plan smaller as long as it goes on to fail: fewer clients, operations, keys. */
export async function shrink(failure: Failure, run: (plan: EpisodePlan) => Promise<History>): Promise<Failure> {
  let smallest = failure;
  const ofClient = Math.max(1, Math.ceil(failure.history.calls.length / failure.plan.clients));
  let candidates = smallerThan({ ...failure.plan, operations: failure.plan.operations ?? ofClient });
  for (let plan = candidates.shift(); plan !== undefined; plan = candidates.shift()) {
    const failed = await attempt(plan, run);
    if (failed === null) continue;
    smallest = failed;
    candidates = smallerThan(plan);
  }
  return smallest;
}

function smallerThan(plan: EpisodePlan): EpisodePlan[] {
  const half = (many: number): number => Math.floor(many / 2);
  const smaller: EpisodePlan[] = [];
  if (plan.kills > 1) smaller.push({ ...plan, kills: half(plan.kills) });
  if (plan.operations !== null && plan.operations > 4) smaller.push({ ...plan, operations: half(plan.operations) });
  if (plan.clients > 1) smaller.push({ ...plan, clients: half(plan.clients) });
  if (plan.keysOfArea > 1) smaller.push({ ...plan, keysOfArea: half(plan.keysOfArea) });
  return smaller;
}

async function attempt(plan: EpisodePlan, run: (plan: EpisodePlan) => Promise<History>): Promise<Failure | null> {
  for (let i = 0; i < ATTEMPTS; i++) {
    const history = await run({ ...plan, seed: plan.seed + i });
    if (judge(history).findings.length > 0) return { plan: { ...plan, seed: plan.seed + i }, history };
  }
  return null;
}

/** Lines that tell what happened, in the order of time. A history of more than so many lines is cut around its first finding. */
export function tellHistory(history: History, mostLines: number): string[] {
  const lines: { readonly at: number; readonly text: string; readonly revision: bigint }[] = [];
  for (const call of history.calls) {
    const { outcome, startedAt } = call;
    lines.push({ at: startedAt, text: showCall(call), revision: outcome.type === 'done' ? outcome.revision : 0n });
  }
  for (const watch of history.watches) {
    lines.push({ at: watch.startedAt, text: showWatch(watch), revision: watch.startRevision });
    for (const message of watch.messages) {
      const revision = 'revision' in message ? message.revision : 0n;
      lines.push({ at: message.at, text: `[${message.at.toFixed(2)}] ${watch.name} ${showMessage(message)}`, revision });
    }
  }
  lines.sort((a, b) => a.at - b.at);
  if (lines.length <= mostLines) return lines.map(({ text }) => text);
  const about = judge(history).findings[0]?.revision ?? 0n;
  const middle = lines.findIndex(({ revision }) => revision >= about && revision > 0n);
  const first = Math.max(0, middle - Math.floor(mostLines / 2));
  return lines.slice(first, first + mostLines).map(({ text }) => text);
}

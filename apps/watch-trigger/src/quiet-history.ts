/**
 * Whether nothing at all happened to the objects of a place between two positions, of which a server whose cache begins behind the first of them tells
 * no changes. What was created or changed is there with a later position; what was deleted, also what was created just before, makes another number of
 * objects at some position in between. So it is known when the number was the same at each of them.
 */
import { type KubeClient, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import { type Position, positionOf } from './position.js';

export interface QuietQuestion {
  readonly client: Pick<KubeClient, 'list'>;
  readonly resource: Resource<KubeObject>;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly from: Position;
  readonly to: Position;
  /** All that there is at the second position was looked at, and nothing of it is newer than the first. */
  readonly isListed: boolean;
  readonly signal: AbortSignal;
}

/** A question for each position: a restart of the server takes some dozens of them, and beyond this it is not worth asking. */
const MOST_POSITIONS = 500n;
/** Objects that all counts together go through: a store may have to look at each for every answer. */
const MOST_COUNTED = 2_000_000;
const AT_ONCE = 10;
const PAGE_SIZE = 500;

/** False: something happened, or the server does not know that time any more. Rejects when nobody can tell at the moment. */
export async function wasQuiet(question: QuietQuestion): Promise<boolean> {
  const { from, to } = question;
  if (to < from || to - from > MOST_POSITIONS) return false;
  try {
    const before = await countAt(question, from);
    if (before * Number(to - from) > MOST_COUNTED) return false;
    for (let next = from + 1n; next <= to; next += BigInt(AT_ONCE)) {
      const length = Math.min(AT_ONCE, Number(to - next) + 1);
      const counts = await Promise.all(Array.from({ length }, (_, index) => countAt(question, next + BigInt(index))));
      if (counts.some((count) => count !== before)) return false;
    }
    return question.isListed || (await hasNothingAfter(question));
  } catch (error) {
    // Not known any more, or a server that answers for the present only.
    if (error instanceof StatusError && error.code < 500) return false;
    throw error;
  }
}

async function countAt({ client, resource, namespace, signal }: QuietQuestion, position: Position): Promise<number> {
  const { items, metadata } = await client.list(resource, { namespace, ...exactly(position), limit: 1, signal });
  return items.length + (metadata.remainingItemCount ?? 0);
}

/** Of all that there is at the second position nothing is newer than the first. */
async function hasNothingAfter({ client, resource, namespace, from, to, signal }: QuietQuestion): Promise<boolean> {
  let next: string | undefined;
  do {
    const start = next === undefined ? exactly(to) : { continue: next };
    const { items, metadata } = await client.list(resource, { namespace, ...start, limit: PAGE_SIZE, signal });
    if (items.some((item) => positionOf(item.metadata.resourceVersion) > from)) return false;
    next = metadata.continue === '' ? undefined : metadata.continue;
  } while (next !== undefined);
  return true;
}

function exactly(position: Position): { readonly resourceVersion: string; readonly resourceVersionMatch: 'Exact' } {
  return { resourceVersion: String(position), resourceVersionMatch: 'Exact' };
}

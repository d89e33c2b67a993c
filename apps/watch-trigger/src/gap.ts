import type { KubeObject } from '@harikube/kube';
import type { Cursor } from './cursor-tracker.js';
import { type Position, positionOf } from './position.js';

/** Clocks of machines differ, and creation times are whole seconds. */
const SLACK_MS = 60_000;

export interface FoundChange {
  readonly type: 'ADDED' | 'MODIFIED';
  readonly object: KubeObject;
  readonly position: Position;
}

/**
 * What a list tells of the time since the cursor, when the changes themselves are no longer to be had: each object that changed, once. It was added when
 * it was created since the time of the cursor, in doubt too. What was deleted since is not known.
 */
export function foundChange(object: KubeObject, cursor: Cursor): FoundChange | null {
  const position = positionOf(object.metadata.resourceVersion);
  if (position <= cursor.position) return null;
  const created = Date.parse(object.metadata.creationTimestamp ?? '');
  const isOld = created < cursor.time - SLACK_MS;
  return { type: isOld ? 'MODIFIED' : 'ADDED', object, position };
}

/** In the order of the changes. */
export function inOrder(changes: readonly FoundChange[]): FoundChange[] {
  return changes.toSorted((one, other) => (one.position < other.position ? -1 : one.position > other.position ? 1 : 0));
}

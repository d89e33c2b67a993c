import { TRIGGERS_GROUP } from '@harikube/crds';
import type { KubeObject } from '@harikube/kube';
import type { EventType } from './trigger-event.js';

/**
 * Whether a change is one of an HTTPTrigger that leaves its spec alone, as far as is known: triggers that watch triggers would call for each other's
 * status without an end. `generations` is what was seen before, by uid, and is kept up to date.
 */
export function isStatusChange(type: EventType, { apiVersion, kind, metadata }: KubeObject, generations: Map<string, number>): boolean {
  if (kind !== 'HTTPTrigger' || apiVersion?.startsWith(`${TRIGGERS_GROUP}/`) !== true) return false;
  const { uid = '', generation = 0 } = metadata;
  if (type === 'DELETED') {
    generations.delete(uid);
    return false;
  }
  const isKnown = generations.get(uid) === generation;
  generations.set(uid, generation);
  return type === 'MODIFIED' && isKnown;
}

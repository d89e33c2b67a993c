import { createHash } from 'node:crypto';
import type { KubeObject, Resource } from '@harikube/kube';

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** A change of an object, as one trigger tells it. */
export interface TriggerEvent {
  /** Hex; the same on every repeat, also after a restart. */
  readonly id: string;
  readonly type: EventType;
  readonly resource: Resource<KubeObject>;
  /** Without managedFields. Whole numbers beyond 2^53 are bigints. Shared by all who read it, and never to be changed. */
  readonly object: KubeObject;
  readonly resourceVersion: string;
  /** Milliseconds since 1970. */
  readonly receivedAt: number;
  /** The object was there before the trigger was, and is told because of `sendInitialEvents`. */
  readonly isInitial: boolean;
  /** The object was found by a list after the changes themselves were no longer to be had. */
  readonly isAfterGap: boolean;
  /** Of DELETED: the object only left the selection. Undefined: not known, or nothing is selected. */
  readonly stillExists?: boolean;
}

export interface EventIdentity {
  readonly triggerUid: string;
  readonly objectUid: string;
  readonly resourceVersion: string;
  readonly type: EventType;
}

export function eventId({ triggerUid, objectUid, resourceVersion, type }: EventIdentity): string {
  return createHash('sha256')
    .update(JSON.stringify([triggerUid, objectUid, resourceVersion, type]))
    .digest('hex');
}

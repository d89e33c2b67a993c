import { validTraceparent } from '@harikube/platform';
import type { KubeObject } from './kube-object.js';

/** On an object that was made in the course of a trace: W3C's `traceparent`, so that whoever works on the object goes on with it. */
export const TRACEPARENT_ANNOTATION = 'tracing.harikube.info/traceparent';

/** What becomes of an object later than that has nothing to do with how it came to be. */
const PART_MS = 10 * 60_000;

/** The trace in which an object comes to be; undefined: none, or that is over. `now`: milliseconds since 1970. */
export function traceparentOf({ metadata }: KubeObject, now: number): string | undefined {
  const { annotations, creationTimestamp, deletionTimestamp } = metadata;
  const age = now - Date.parse(creationTimestamp ?? '');
  if (deletionTimestamp !== undefined || !(age < PART_MS)) return undefined;
  return validTraceparent(annotations?.[TRACEPARENT_ANNOTATION]);
}

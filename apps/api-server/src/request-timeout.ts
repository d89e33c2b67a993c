import { parseGoDuration } from '@harikube/platform';
import { badRequest } from './status-answer.js';

/** When kube-apiserver cuts. */
export const MAX_REQUEST_MS = 60_000;
/** Everything that does not wait for a registration. */
export const REQUEST_DEADLINE_MS = 34_000;

/** What `?timeout=` asks for, not longer than `mostMs`; throws 400 for what is no duration. */
export function requestTimeout(query: URLSearchParams, mostMs: number): number {
  const text = query.get('timeout') ?? '';
  if (text === '') return mostMs;
  const milliseconds = parseGoDuration(text);
  if (milliseconds === undefined || milliseconds < 0)
    throw badRequest('invalid timeout specified in the request URL - use a duration such as 20s');
  return milliseconds === 0 ? mostMs : Math.min(milliseconds, mostMs);
}

/**
 * How long to wait for a registration of a request that kube-apiserver cuts after so long, with an answer of its own that says nothing: the last
 * sixth, and not less than half a second of a longer time than a second, is for the way there and back.
 */
export function waitOf(requestMs: number): number {
  return Math.round(requestMs - Math.max(requestMs / 6, Math.min(500, requestMs / 2)));
}

import { parseGoDuration } from '@harikube/platform';
import { badRequest } from './status-answer.js';

/** kube-apiserver cuts at 60 s; the answer is there before that. */
export const MAX_WAIT_MS = 50_000;
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

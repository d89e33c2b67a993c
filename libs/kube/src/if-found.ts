import { StatusError } from './status-error.js';

/** The answer, or null where nothing of the name is there. */
export async function ifFound<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof StatusError && error.isNotFound) return null;
    throw error;
  }
}

/** What was created, or what has the name already, whoever made it: the caller looks whose it is. */
export async function createdOrFound<T>(created: Promise<T>, get: () => Promise<T>): Promise<T> {
  try {
    return await created;
  } catch (error) {
    if (error instanceof StatusError && error.isAlreadyExists) return await get();
    throw error;
  }
}

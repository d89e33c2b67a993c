import { createHash } from 'node:crypto';

/** A document that does not change while the process runs. */
export interface ApiDocument {
  readonly text: string;
  /** Equal for equal documents on every server. */
  readonly hash: string;
}

/** The keys are in the order in which they are given, which is the same in every process. */
export function apiDocument(value: object): ApiDocument {
  const text = JSON.stringify(value);
  return { text, hash: createHash('sha512').update(text).digest('hex').toUpperCase() };
}

/** Whether a conditional request names this document. */
export function isKnown({ hash }: ApiDocument, ifNoneMatch: string | undefined): boolean {
  return ifNoneMatch?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === `"${hash}"` || tag.trim() === '*') ?? false;
}

import { ABANDON_DATA_ANNOTATION, type TopologyConfig } from '@harikube/crds';

/** Data that is to be given up. */
export interface Abandonment {
  readonly backend: string;
  /** How many keys that are, by who asks for it; null: he does not say. */
  readonly keys: number | null;
}

/** The annotation cannot be read; a sentence. */
export class InvalidAbandonmentError extends Error {
  override readonly name = 'InvalidAbandonmentError';
}

const ENTRY = /^([a-z0-9]+(?:-+[a-z0-9]+)*)(?:=([0-9]{1,15}))?$/;

/** What the annotation asks for: `backend` or `backend=keys`, several of them with commas between. Throws `InvalidAbandonmentError`. */
export function abandonmentsOf({ metadata }: Pick<TopologyConfig, 'metadata'>): Abandonment[] {
  const text = metadata.annotations?.[ABANDON_DATA_ANNOTATION];
  if (text === undefined) return [];
  const found = new Map<string, Abandonment>();
  for (const entry of text.split(',')) {
    const [, backend, keys] = ENTRY.exec(entry.trim()) ?? [];
    if (backend === undefined)
      throw new InvalidAbandonmentError(`"${text}" is not usable; write BACKEND=KEYS with the number of the keys that are given up`);
    if (found.has(backend)) throw new InvalidAbandonmentError(`"${text}" names ${backend} twice; leave one of them out`);
    found.set(backend, { backend, keys: keys === undefined ? null : Number(keys) });
  }
  return [...found.values()];
}

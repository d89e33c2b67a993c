import { ABANDON_DATA_ANNOTATION, type TopologyConfig } from '@harikube/crds';

/** Data that is to be given up. */
export interface AbandonRequest {
  readonly backend: string;
  /** As many keys as are known to be lost; null: however many there are. */
  readonly keys: number | null;
}

/** What the annotation asks for: `<backend>` or `<backend>=<keys>`, several with commas. Throws a sentence. */
export function abandonRequestsOf({ metadata }: Pick<TopologyConfig, 'metadata'>): AbandonRequest[] {
  const text = metadata.annotations?.[ABANDON_DATA_ANNOTATION]?.trim() ?? '';
  if (text === '') return [];
  const found = new Map<string, AbandonRequest>();
  for (const part of text.split(',')) {
    const [, backend, keys] = /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)(?:=([0-9]{1,15}))?$/.exec(part.trim()) ?? [];
    if (backend === undefined)
      throw new InvalidAbandonError(text, 'is not usable; write BACKEND=KEYS, such as users=12, and commas between several');
    if (found.has(backend)) throw new InvalidAbandonError(text, `names ${backend} twice; leave one of them out`);
    found.set(backend, { backend, keys: keys === undefined ? null : Number(keys) });
  }
  return [...found.values()];
}

export class InvalidAbandonError extends Error {
  override readonly name = 'InvalidAbandonError';
  constructor(text: string, problem: string) {
    super(`the annotation ${ABANDON_DATA_ANNOTATION}=${text} ${problem}`);
  }
}

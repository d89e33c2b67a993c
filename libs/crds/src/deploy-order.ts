import { DEPLOY_ORDER_ANNOTATION } from './names.js';
import type { TopologyConfig } from './topology-config.js';

/** What is put into an order. */
export interface Orderable {
  /** The place that it asks for; null: behind all who ask for one. */
  readonly pin: number | null;
  /** RFC 3339, as Kubernetes writes it: equal lengths, so that texts compare as times do. */
  readonly created: string;
  /** `namespace/name`. */
  readonly key: string;
}

export interface Ordered<T extends Orderable> {
  readonly item: T;
  /** Rises from one to the next. */
  readonly order: number;
}

const MOST = 999_999_999;

/** The place that the annotation asks for; null: there is none. Throws a sentence. */
export function pinOf({ metadata }: Pick<TopologyConfig, 'metadata'>): number | null {
  const text = metadata.annotations?.[DEPLOY_ORDER_ANNOTATION];
  if (text === undefined) return null;
  if (!/^[0-9]{1,9}$/.test(text))
    throw new InvalidDeployOrderError(
      `the annotation ${DEPLOY_ORDER_ANNOTATION}=${text} is not usable; write a whole number from 0 to ${MOST}`,
    );
  return Number(text);
}

export class InvalidDeployOrderError extends Error {
  override readonly name = 'InvalidDeployOrderError';
}

/**
 * Those with a pin first, ascending; equal pins, and the rest, by age and then by name. A pin is the order that it says, unless one before has that
 * already: then it is the next one.
 */
export function inDeployOrder<T extends Orderable>(items: readonly T[]): Ordered<T>[] {
  const sorted = items.toSorted(
    (a, b) => (a.pin ?? Infinity) - (b.pin ?? Infinity) || compare(a.created, b.created) || compare(a.key, b.key),
  );
  let last = -1;
  return sorted.map((item) => {
    last = Math.max(item.pin ?? 1, last + 1);
    return { item, order: last };
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

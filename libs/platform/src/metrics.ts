import { collectDefaultMetrics, exponentialBuckets, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Buckets of the reference's statement times: 14 of them, from 1 ms doubling to 8.192 s. */
export const STATEMENT_SECONDS_BUCKETS: readonly number[] = exponentialBuckets(0.001, 2, 14);

/** A registry that already has the process's own metrics: memory, processor time, event loop lag, garbage collection. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

import type { Registry } from 'prom-client';

/** Services of one process share a page of metrics: the metric of this name that is on it already. */
export function knownMetric<T extends object>(
  registry: Registry,
  name: string,
  type: abstract new (...parameters: never[]) => T,
): T | undefined {
  const metric = registry.getSingleMetric(name);
  return metric instanceof type ? metric : undefined;
}

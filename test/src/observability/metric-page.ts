/** A metric as a page of metrics declares and uses it. */
export interface Metric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  /** Of its series; none where it has no series yet. Without `le`. */
  readonly labels: ReadonlySet<string>;
}

/** Reads a page in Prometheus' text format. */
export function parseMetricPage(page: string): Metric[] {
  const metrics = new Map<string, { name: string; type: string; help: string; labels: Set<string> }>();
  for (const line of page.split('\n')) {
    const [, what, declared = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (what === 'HELP') metrics.set(declared, { name: declared, type: '', help: rest, labels: new Set() });
    const metric = metrics.get(declared);
    if (what === 'TYPE' && metric !== undefined) metric.type = rest;
    const [, sample = '', labels = ''] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? /.exec(line) ?? [];
    const used = metrics.get(sample) ?? metrics.get(sample.replace(/_(bucket|sum|count)$/, ''));
    for (const [, label = ''] of labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) if (label !== 'le') used?.labels.add(label);
  }
  return [...metrics.values()];
}

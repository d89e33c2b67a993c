import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const REQUEST_LABELS = ['verb', 'group', 'version', 'resource', 'subresource', 'scope'] as const;
export type RequestLabels = Readonly<Record<(typeof REQUEST_LABELS)[number], string>>;
const BUCKETS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 20, 30, 50, 60];

/** Named as kube-apiserver names its own. No label holds the name of a user or of an object. */
export class ServerMetrics {
  readonly requests: Counter;
  readonly durations: Histogram;
  readonly inFlight: Gauge;
  readonly longRunning: Gauge;
  readonly authentications: Counter;

  constructor(registry: Registry) {
    this.requests = known(registry, 'apiserver_request_total', Counter, (name) => {
      return new Counter({ name, help: 'Requests that were answered', labelNames: [...REQUEST_LABELS, 'code'], registers: [registry] });
    });
    this.durations = known(registry, 'apiserver_request_duration_seconds', Histogram, (name) => {
      return new Histogram({ name, help: 'Time to the answer', labelNames: [...REQUEST_LABELS], buckets: BUCKETS, registers: [registry] });
    });
    this.inFlight = known(registry, 'apiserver_current_inflight_requests', Gauge, (name) => {
      return new Gauge({ name, help: 'Requests that are being worked on', labelNames: ['request_kind'], registers: [registry] });
    });
    this.longRunning = known(registry, 'apiserver_longrunning_requests', Gauge, (name) => {
      return new Gauge({
        name,
        help: 'Registrations that wait for their result',
        labelNames: ['verb', 'group', 'resource'],
        registers: [registry],
      });
    });
    this.authentications = known(registry, 'apiserver_authentication_total', Counter, (name) => {
      return new Counter({ name, help: 'How it was found out who asks', labelNames: ['method'], registers: [registry] });
    });
  }
}

/** Services of one process share a page of metrics. */
function known<M extends Counter | Gauge | Histogram>(
  registry: Registry,
  name: string,
  kind: abstract new (...args: never[]) => M,
  make: (name: string) => M,
): M {
  const metric: unknown = registry.getSingleMetric(name);
  return metric instanceof kind ? metric : make(name);
}

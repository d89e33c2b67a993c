import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** The names of controller-runtime, so that its dashboards show this webhook too; and what it has of its own. */
export class AdmissionMetrics {
  readonly latency: Histogram<'webhook'>;
  readonly requests: Counter<'webhook' | 'code'>;
  readonly inFlight: Gauge<'webhook'>;
  readonly hashesRunning: Gauge;
  readonly hashesWaiting: Gauge;
  readonly hashesRefused: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.latency =
      known(registry, 'controller_runtime_webhook_latency_seconds', Histogram<'webhook'>) ??
      new Histogram({
        name: 'controller_runtime_webhook_latency_seconds',
        help: 'Time to answer a request, by the path of the webhook',
        labelNames: ['webhook'],
        buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
        registers,
      });
    this.requests =
      known(registry, 'controller_runtime_webhook_requests_total', Counter<'webhook' | 'code'>) ??
      new Counter({
        name: 'controller_runtime_webhook_requests_total',
        help: 'Answered requests, by the path of the webhook and the status code of HTTP',
        labelNames: ['webhook', 'code'],
        registers,
      });
    this.inFlight =
      known(registry, 'controller_runtime_webhook_requests_in_flight', Gauge<'webhook'>) ??
      new Gauge({
        name: 'controller_runtime_webhook_requests_in_flight',
        help: 'Requests that are being answered, by the path of the webhook',
        labelNames: ['webhook'],
        registers,
      });
    this.hashesRunning =
      known(registry, 'harikube_password_hashes_running', Gauge) ??
      new Gauge({ name: 'harikube_password_hashes_running', help: 'Passwords that are being hashed', registers });
    this.hashesWaiting =
      known(registry, 'harikube_password_hashes_waiting', Gauge) ??
      new Gauge({ name: 'harikube_password_hashes_waiting', help: 'Passwords that wait to be hashed', registers });
    this.hashesRefused =
      known(registry, 'harikube_password_hashes_refused_total', Counter) ??
      new Counter({ name: 'harikube_password_hashes_refused_total', help: 'Passwords refused because too many wait', registers });
  }
}

function known<T extends object>(registry: Registry, name: string, type: abstract new (...parameters: never[]) => T): T | undefined {
  const metric = registry.getSingleMetric(name);
  return metric instanceof type ? metric : undefined;
}

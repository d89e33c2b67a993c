import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { knownMetric } from './known-metric.js';

/** The names of controller-runtime, so that its dashboards show our webhooks too. */
export class AdmissionMetrics {
  readonly latency: Histogram<'webhook'>;
  readonly requests: Counter<'webhook' | 'code'>;
  readonly inFlight: Gauge<'webhook'>;
  /** What was decided: allowed, denied, or failed, which is a refusal of which nobody but this program is the cause. */
  readonly decisions: Counter<'webhook' | 'decision'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.latency =
      knownMetric(registry, 'controller_runtime_webhook_latency_seconds', Histogram<'webhook'>) ??
      new Histogram({
        name: 'controller_runtime_webhook_latency_seconds',
        help: 'Time to answer a request, by the path of the webhook',
        labelNames: ['webhook'],
        buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
        registers,
      });
    this.requests =
      knownMetric(registry, 'controller_runtime_webhook_requests_total', Counter<'webhook' | 'code'>) ??
      new Counter({
        name: 'controller_runtime_webhook_requests_total',
        help: 'Answered requests, by the path of the webhook and the status code of HTTP',
        labelNames: ['webhook', 'code'],
        registers,
      });
    this.inFlight =
      knownMetric(registry, 'controller_runtime_webhook_requests_in_flight', Gauge<'webhook'>) ??
      new Gauge({
        name: 'controller_runtime_webhook_requests_in_flight',
        help: 'Requests that are being answered, by the path of the webhook',
        labelNames: ['webhook'],
        registers,
      });
    this.decisions =
      knownMetric(registry, 'harikube_admission_decisions_total', Counter<'webhook' | 'decision'>) ??
      new Counter({
        name: 'harikube_admission_decisions_total',
        help: 'Decisions on requests, by the path of the webhook',
        labelNames: ['webhook', 'decision'],
        registers,
      });
  }

  /** Everything is there with a zero from the start, so that rates have a beginning. */
  begin(webhook: string): void {
    for (const decision of ['allowed', 'denied', 'failed']) this.decisions.inc({ webhook, decision }, 0);
    this.requests.inc({ webhook, code: 200 }, 0);
    this.inFlight.set({ webhook }, 0);
    this.latency.zero({ webhook });
  }
}

import { knownMetric } from '@harikube/admission';
import { Counter, Gauge, type Registry } from 'prom-client';

export class HashMetrics {
  readonly running: Gauge;
  readonly waiting: Gauge;
  readonly refused: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.running =
      knownMetric(registry, 'harikube_password_hashes_running', Gauge) ??
      new Gauge({ name: 'harikube_password_hashes_running', help: 'Passwords that are being hashed', registers });
    this.waiting =
      knownMetric(registry, 'harikube_password_hashes_waiting', Gauge) ??
      new Gauge({ name: 'harikube_password_hashes_waiting', help: 'Passwords that wait to be hashed', registers });
    this.refused =
      knownMetric(registry, 'harikube_password_hashes_refused_total', Counter) ??
      new Counter({ name: 'harikube_password_hashes_refused_total', help: 'Passwords refused because too many wait', registers });
  }
}

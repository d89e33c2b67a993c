import { Counter, Gauge, type Registry } from 'prom-client';
import type { DeployStatus } from './config-status.js';

const STATUSES: readonly DeployStatus[] = ['Pending', 'Active', 'Held', 'Error'];

export class OperatorMetrics {
  readonly #configs: Gauge<'target' | 'status'>;
  readonly #writes: Counter<'target' | 'reason'>;
  readonly #reachable: Gauge<'target'>;
  readonly #orphans: Gauge<'target'>;
  readonly #abandoned: Counter<'target'>;

  constructor(registry: Registry) {
    const registers = [registry];
    const name = (rest: string): string => `harikube_topology_operator_${rest}`;
    this.#configs = new Gauge({
      registers,
      name: name('configs'),
      help: 'TopologyConfigs by their deployStatus',
      labelNames: ['target', 'status'],
    });
    this.#writes = new Counter({
      registers,
      name: name('secret_writes_total'),
      help: 'Writes of target Secrets: since the rules changed, or since somebody else had changed the Secret',
      labelNames: ['target', 'reason'],
    });
    this.#reachable = new Gauge({
      registers,
      name: name('router_reachable'),
      help: 'Whether the router of the target answered when it was last asked',
      labelNames: ['target'],
    });
    this.#orphans = new Gauge({
      registers,
      name: name('orphaned_documents'),
      help: 'Documents in the target Secret whose TopologyConfig is gone, and whose databases hold keys',
      labelNames: ['target'],
    });
    this.#abandoned = new Counter({
      registers,
      name: name('abandoned_keys_total'),
      help: 'Keys that were given up at the request of an annotation',
      labelNames: ['target'],
    });
  }

  configs(target: string, statuses: readonly DeployStatus[]): void {
    for (const status of STATUSES) this.#configs.set({ target, status }, statuses.filter((one) => one === status).length);
  }

  written(target: string, reason: 'changed' | 'restored'): void {
    this.#writes.inc({ target, reason });
  }

  reachable(target: string, isReachable: boolean): void {
    this.#reachable.set({ target }, isReachable ? 1 : 0);
  }

  orphans(target: string, count: number): void {
    this.#orphans.set({ target }, count);
  }

  abandoned(target: string, keys: number): void {
    this.#abandoned.inc({ target }, keys);
  }
}

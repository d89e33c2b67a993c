import { Counter, Gauge, type Registry } from '@harikube/platform';

/**
 * `success`: it is in force. `refused`: its text is wrong. `held_back`: keys would have to move. `failed`: a database or the store
 * stands in the way. `unreadable`: the source could not be read.
 */
export type ReloadResult = 'success' | 'refused' | 'held_back' | 'failed' | 'unreadable';

const RESULTS: readonly ReloadResult[] = ['success', 'refused', 'held_back', 'failed', 'unreadable'];

/** What /metrics tells of the topology. */
export class TopologyMetrics {
  readonly #version: Gauge<'version'>;
  readonly #reloads: Counter<'result'>;
  readonly #lastSuccess: Gauge;
  readonly #heldBack: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#version = new Gauge({
      name: 'harikube_topology_version_info',
      help: 'Always 1; the label is the version of the topology in force',
      labelNames: ['version'],
      registers,
    });
    this.#reloads = new Counter({
      name: 'harikube_topology_reloads_total',
      help: 'Attempts to put in force what the source of the topology holds',
      labelNames: ['result'],
      registers,
    });
    // A series that is there from the start has a rate from its first failure on.
    for (const result of RESULTS) this.#reloads.inc({ result }, 0);
    this.#lastSuccess = new Gauge({
      name: 'harikube_topology_last_reload_success_timestamp_seconds',
      help: 'When what the source of the topology holds was put in force last; 0: not since the start',
      registers,
    });
    this.#heldBack = new Gauge({
      name: 'harikube_topology_held_back_keys',
      help: 'Keys that stand in the way of what the source of the topology holds',
      registers,
    });
  }

  inForce(version: string): void {
    this.#version.reset();
    this.#version.set({ version }, 1);
  }

  reloaded(result: ReloadResult, heldBackKeys: number, time: Date): void {
    this.#reloads.inc({ result });
    this.#heldBack.set(heldBackKeys);
    if (result === 'success') this.#lastSuccess.set(time.getTime() / 1000);
  }
}

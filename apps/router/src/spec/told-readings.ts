import type { TopologyReading } from '../topology/topology-watcher.js';

/** Takes what a watcher tells, and lets a spec wait for it. */
export class ToldReadings {
  readonly all: TopologyReading[] = [];
  readonly #waiting: (() => void)[] = [];

  readonly take = (reading: TopologyReading): void => {
    this.all.push(reading);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  /** Resolves with the first reading, told already or told later, that is of this kind. */
  async first(isIt: (reading: TopologyReading) => boolean): Promise<TopologyReading> {
    for (;;) {
      const found = this.all.find(isIt);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when a single text is told. */
  async text(text: string): Promise<void> {
    await this.first((reading) => reading.type === 'read' && reading.documents.length === 1 && reading.documents[0]?.text === text);
  }

  async unreadable(reason: string): Promise<void> {
    await this.first((reading) => reading.type === 'unreadable' && reading.reason.includes(reason));
  }
}

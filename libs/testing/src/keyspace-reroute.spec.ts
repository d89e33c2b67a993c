import { describe, expect, it } from '@jest/globals';
import { affectedRanges, MAIN, Topology } from '@harikube/datasources';
import { Keyspace } from '@harikube/keyspace';
import type { WatchedEvent } from './history-checker.js';
import { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';
import { Random } from './random.js';
import { RandomTopology, type ReroutedStore, tellRerouteStory } from './reroute-story.js';
import { watchedEvent } from './watch-recorder.js';

/** A keyspace over databases in memory, one for each file that a topology names. */
class MemoryStore implements ReroutedStore {
  readonly #databases = new Map<string, MemoryDatabase>();
  readonly #backends = new Map<string, MemoryBackend>();
  topology = new Topology([]);

  private constructor(
    readonly keyspace: Keyspace,
    main: MemoryDatabase,
    private readonly hooks: MemoryHooks,
  ) {
    this.#databases.set(MAIN, main);
  }

  static async open(hooks: MemoryHooks = {}): Promise<MemoryStore> {
    const main = new MemoryDatabase();
    const keyspace = await Keyspace.open({
      main: new MemoryBackend(MAIN, main, hooks),
      backends: new Map(),
      routing: new Topology([]),
      cacheBytes: 40_000,
      eventBytes: 120_000,
      progressIntervalMs: 50,
      log: { info: () => undefined, warn: () => undefined },
    });
    return new MemoryStore(keyspace, main, hooks);
  }

  async apply(topology: Topology): Promise<number> {
    const backends = new Map(topology.rules.map(({ name, endpoint }) => [name, this.#backend(endpoint.path)]));
    const affected = affectedRanges(this.topology, topology);
    const { moves, problems } = await this.keyspace.reroute({ routing: topology, backends, affected, record: () => this.#record() });
    expect(problems).toEqual([]);
    if (moves.length === 0) this.topology = topology;
    return moves.reduce((sum, { keys }) => sum + keys, 0);
  }

  async truth(): Promise<WatchedEvent[]> {
    const query = { range: { start: Buffer.alloc(0), end: null, single: false }, after: 0n, through: 1n << 60n, maxBytes: 1 << 30 };
    const answers = await Promise.all([...this.#databases.values()].map((database) => new MemoryBackend('truth', database).changes(query)));
    return answers
      .flatMap(({ changes }) => changes)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ isDelete, record, prevRecord }) => watchedEvent(isDelete, record, prevRecord));
  }

  #record(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 1));
  }

  #backend(file: string): MemoryBackend {
    let backend = this.#backends.get(file);
    if (backend === undefined) {
      const database = new MemoryDatabase();
      backend = new MemoryBackend(file, database, this.hooks);
      this.#databases.set(file, database);
      this.#backends.set(file, backend);
    }
    return backend;
  }
}

/** Databases that answer when they like. */
function unevenHooks(random: Random): MemoryHooks {
  const pause = async (): Promise<void> => {
    if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
    if (random.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, random.below(4)));
  };
  return { beforeCommit: pause, afterCommit: pause, beforeRead: pause, afterRead: pause, beforeControl: pause };
}

describe('a keyspace whose topology changes again and again', () => {
  it.each([
    [1, false],
    [2, false],
    [3, true],
    [4, true],
  ])(
    'tells one story to all its clients (seed %i, compacting: %j)',
    async (seed, compacts) => {
      const random = new Random(seed);
      const store = await MemoryStore.open(unevenHooks(new Random(seed + 1000)));
      const topologies = new RandomTopology(random, (file) => `sqlite:///${file}`);
      const outcome = await tellRerouteStory(store, topologies, { random, changes: 150, compacts });
      expect(outcome.applied).toBeGreaterThan(40);
      expect(outcome.refused).toBeGreaterThan(0);
      expect([outcome.writes > 500, outcome.lists > 300, outcome.watches > 50]).toEqual([true, true, true]);
      await store.keyspace.close();
    },
    120_000,
  );
});

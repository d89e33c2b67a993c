import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseEndpoint, type Topology, TopologyManager } from '@harikube/datasources';
import { singleKey } from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import type { WatchedEvent } from './history-checker.js';
import { putOp, watchOf } from './keyspace-harness.js';
import { Random } from './random.js';
import { keyAtRandom, RandomTopology } from './random-topology.js';
import { keysToMove, type ReroutedStore, tellRerouteStory } from './reroute-story.js';
import { WatchRecorder } from './watch-recorder.js';

/** A store in SQLite files. */
class FileStore implements ReroutedStore {
  private constructor(
    readonly folder: string,
    public manager: TopologyManager,
  ) {}

  static async open(): Promise<FileStore> {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-story-'));
    return new FileStore(folder, await FileStore.#openManager(folder));
  }

  static #openManager(folder: string): Promise<TopologyManager> {
    return TopologyManager.open({
      main: { endpoint: parseEndpoint(`sqlite://${join(folder, 'main.db')}`), tls: null, pool: {} },
      startFrom: 'recorded',
      topologyOptions: {},
      defaults: { compactBatchSize: 100, requestTimeoutMs: 5000 },
      writer: { identity: { holder: 'test', address: '', leaseMs: 5000 } },
      keyspace: {
        cacheBytes: 40_000,
        eventBytes: 120_000,
        progressIntervalMs: 5,
        log: { info: () => undefined, warn: () => undefined },
      },
    });
  }

  get keyspace(): TopologyManager['keyspace'] {
    return this.manager.keyspace;
  }

  get topology(): Topology {
    return this.manager.topology;
  }

  topologies(random: Random): RandomTopology {
    return new RandomTopology(random, (file) => `sqlite://${join(this.folder, file)}.db`);
  }

  async apply(topology: Topology): Promise<number> {
    const { applied, plan } = await this.manager.apply(topology);
    expect([plan.problems, applied]).toEqual([[], plan.moves.length === 0]);
    return plan.moves.reduce((sum, { keys }) => sum + keys, 0);
  }

  /** As a watch from the beginning reads it from all files. */
  async truth(): Promise<WatchedEvent[]> {
    const recorder = new WatchRecorder();
    const { revision } = this.keyspace.status();
    this.keyspace.watch(recorder).create(watchOf('', { prevKv: true, startRevision: 1n, progressNotify: true }));
    await recorder.until(() => recorder.reached() >= revision);
    return recorder.events();
  }

  async restart(): Promise<void> {
    await this.manager.close();
    this.manager = await FileStore.#openManager(this.folder);
  }

  async remove(): Promise<void> {
    await this.manager.close();
    await rm(this.folder, { recursive: true });
  }
}

describe('a store in files whose topology changes again and again', () => {
  it.each([
    [11, false],
    [12, true],
  ])(
    'tells one story to all its clients (seed %i, compacting: %j)',
    async (seed, compacts) => {
      const random = new Random(seed);
      const store = await FileStore.open();
      const outcome = await tellRerouteStory(store, store.topologies(random), { random, changes: 20, compacts });
      expect([outcome.writes > 30, outcome.lists > 15, outcome.watches > 6]).toEqual([true, true, true]);
      await store.remove();
    },
    120_000,
  );

  it('takes exactly the topologies that hide no key, as it was planned, and tells the same story after each start', async () => {
    const random = new Random(21);
    const store = await FileStore.open();
    const topologies = store.topologies(random);
    const counts = { applied: 0, refused: 0 };
    for (let i = 0; i < 40; i++) {
      for (let writes = random.below(4); writes > 0; writes--) {
        const key = keyAtRandom(random);
        if (random.chance(0.4)) await store.keyspace.put(putOp(key, `${i}`));
        else await store.keyspace.deleteRange({ type: 'delete', range: singleKey(bytesOf(key)), prevKv: false });
      }
      const { topology, keep } = topologies.next();
      const due = await keysToMove(store, topology);
      const plan = await store.manager.plan(topology);
      expect([plan.moves.reduce((sum, { keys }) => sum + keys, 0), plan.problems]).toEqual([due, []]);
      const before = await store.truth();
      expect(await store.apply(topology)).toBe(due);
      if (due === 0) keep();
      counts[due === 0 ? 'applied' : 'refused']++;
      expect(await store.truth()).toEqual(before);
      if (random.chance(0.15)) {
        const { version } = store.manager;
        await store.restart();
        expect([store.manager.version, await store.truth()]).toEqual([version, before]);
      }
    }
    expect([counts.applied > 10, counts.refused > 5]).toEqual([true, true]);
    await store.remove();
  }, 120_000);
});

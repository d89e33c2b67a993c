import { join } from 'node:path';
import { parseEndpoint, TopologyManager } from '@harikube/datasources';
import { singleKey } from '@harikube/keyspace';
import { bytesOf } from './batch-writer.js';
import type { ChangerLine } from './changer-line.js';
import { kvsOf, putOp, watchOf } from './keyspace-harness.js';
import { Random } from './random.js';
import { keyAtRandom, RandomTopology } from './random-topology.js';
import { WatchRecorder } from './watch-recorder.js';

/*
 * A process to be killed: `topology-changer-program.js FOLDER SEED` opens the store in a folder, tells everything that was ever written there,
 * and then writes and changes the topology at random until it is ended. What it tells is a JSON text a line, each written before it goes on.
 */

const WRITERS = 4;

/** Resolves once the line is out of this process: while the pipe is full, lines are kept here and would end with it. */
function tell(line: ChangerLine): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, () => resolve()));
}

async function run(folder: string, random: Random): Promise<void> {
  const manager = await TopologyManager.open({
    main: { endpoint: parseEndpoint(`sqlite://${join(folder, 'main.db')}`), tls: null, pool: {} },
    startFrom: 'recorded',
    topologyOptions: {},
    defaults: { compactBatchSize: 1000, requestTimeoutMs: 5000 },
    writer: { identity: { holder: 'test', address: '', leaseMs: 5000 } },
    keyspace: {
      cacheBytes: 1 << 20,
      eventBytes: 1 << 20,
      progressIntervalMs: 5,
      log: { info: () => undefined, warn: () => undefined },
    },
  });
  const { keyspace } = manager;
  await tellHistory(keyspace);
  await tell({ type: 'ready', version: manager.version });
  const busy = new Set<string>();

  /** Puts, and deletes as often, so that rules may take keys over. One write of a key at a time. */
  const write = async (key: string, value: string | null): Promise<void> => {
    if (busy.has(key)) return;
    busy.add(key);
    await tell({ type: 'begin', key, value });
    if (value === null) {
      const { revision, deleted } = await keyspace.deleteRange({ type: 'delete', range: singleKey(bytesOf(key)), prevKv: false });
      await tell({ type: 'done', key, revision: deleted === 1 ? `${revision}` : null });
    } else {
      const { revision } = await keyspace.put(putOp(key, value));
      await tell({ type: 'done', key, revision: `${revision}` });
    }
    busy.delete(key);
  };
  const writer = async (id: number): Promise<void> => {
    for (let i = 0; ; i++) await write(keyAtRandom(random), random.chance(0.3) ? `${id}-${i}-${random.below(1e9)}` : null);
  };
  const changer = async (): Promise<void> => {
    const topologies = new RandomTopology(random, (file) => `sqlite://${join(folder, file)}.db`);
    for (;;) {
      const { topology, keep } = topologies.next();
      const { applied } = await manager.apply(topology);
      if (!applied) continue;
      keep();
      await tell({ type: 'applied', version: manager.version });
    }
  };
  await Promise.all([changer(), ...Array.from({ length: WRITERS }, (_, id) => writer(id))]);
}

/** All events since the beginning, from whatever databases they are in; then what a get of each key finds where the rules lead. */
async function tellHistory(keyspace: TopologyManager['keyspace']): Promise<void> {
  const recorder = new WatchRecorder();
  const { revision } = keyspace.status();
  keyspace.watch(recorder).create(watchOf('', { startRevision: 1n, progressNotify: true }));
  await recorder.until(() => recorder.reached() >= revision);
  for (const { key, isDelete, value, revision: at } of recorder.events()) {
    await tell({ type: 'event', key, value: isDelete ? null : value, revision: `${at}` });
  }
  for (const key of new Set(recorder.events().map((event) => event.key))) {
    const range = singleKey(bytesOf(key));
    const found = await kvsOf(await keyspace.range({ type: 'range', range, limit: 0, revision: 0n, keysOnly: false, countOnly: false }));
    await tell({ type: 'found', key, value: found[0]?.value.toString() ?? null });
  }
}

const [folder = '.', seed = '1'] = process.argv.slice(2);
await run(folder, new Random(Number(seed)));

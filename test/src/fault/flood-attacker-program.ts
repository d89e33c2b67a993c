import { parentPort, workerData } from 'node:worker_threads';
import { FLOOD_CASES, type FloodCase, type FloodCaseName } from './flood-cases.js';
import { FloodClient } from './flood-client.js';

/** What the thread is given. */
export interface AttackerData {
  readonly name: FloodCaseName;
  readonly url: string;
  readonly seconds: number;
}

/** One case, in a thread of its own, so that the one who measures is not held up. */
const { name, url, seconds } = workerData as AttackerData;
const client = new FloodClient(url, seconds);
const flood: FloodCase = FLOOD_CASES[name];
await flood.run(client);
await client.over;
// Those that were ended at the last moment.
await client.pause(200);
parentPort?.postMessage(client.finish());

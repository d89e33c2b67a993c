import { setPriority } from 'node:os';
import { FLOOD_CASES, type FloodCase, type FloodCaseName } from './flood-cases.js';
import { FloodClient } from './flood-client.js';

/**
 * One case, as `NAME URL SECONDS`; tells its parent what became of it. Who floods has a machine of its own: on this one it gets what the others leave, so
 * that what is measured is the router's work and not the lack of processors.
 */
setPriority(10);
const [name, url = '', seconds] = process.argv.slice(2);
const client = new FloodClient(url, Number(seconds));
const flood: FloodCase = FLOOD_CASES[name as FloodCaseName];
await flood.run(client);
await client.over;
// Those that were ended at the last moment.
await client.pause(200);
process.send?.(client.finish(), () => process.disconnect());

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SetupError } from '@harikube/local-cluster';
import type { Env } from '@harikube/platform';
import { EXAMPLES } from './repository.js';

/** Where the router of `harikube up` finds its topology when nothing else is said: in TopologyConfigs, merged into this Secret. */
export const TOPOLOGY_SECRET = 'secret://harikube/topology-config';

/** What questions about a topology are answered by when nothing else is said, and nothing runs: the same rules as those of the example's TopologyConfigs. */
export const EXAMPLE_TOPOLOGY = `file://${join(EXAMPLES, 'topology.yaml')}`;

/** The topology of `--topology`, else of `TOPOLOGY_CONFIG`, as an address that the router reads; undefined: neither names one. */
export function topologyAddress(file: string | undefined, env: Env): string | undefined {
  if (file === undefined) return env['TOPOLOGY_CONFIG'] || undefined;
  const path = resolve(file);
  if (!existsSync(path)) throw new SetupError(`the topology file ${path} does not exist: check --topology`);
  return `file://${path}`;
}

import { resolve } from 'node:path';
import { type Explanation, loadTopology, parseTopologySource, type Placement, topologySourceName } from '@harikube/datasources';
import type { Env } from '@harikube/platform';
import { EXAMPLE_TOPOLOGY, topologyAddress } from './topology-address.js';

type Write = (line: string) => void;

/** Prints which rule places a key or a resource, and in which database. */
export async function explainTopology(subject: string, options: { readonly topology?: string }, env: Env, write: Write): Promise<void> {
  const source = parseTopologySource(topologyAddress(options.topology, env) ?? EXAMPLE_TOPOLOGY);
  const topology = await loadTopology(source);
  for (const line of explanationLines(topology.explain(subject), topologySourceName(source))) write(line);
}

/** Prints the backends of a topology file whose every rule is sound; any problem is thrown as a `TopologyError`. */
export async function checkTopology(file: string, write: Write): Promise<void> {
  const path = resolve(file);
  const topology = await loadTopology({ type: 'file', path });
  write(`${path} is sound: ${topology.registeredNames().join(', ')}`);
}

function explanationLines(explanation: Explanation, source: string): string[] {
  const { kind, path, subject, placements, resourcePlacements } = explanation;
  const head = kind === 'key' ? `key ${path}` : `${subject === path ? '' : `${subject}: `}every key below ${path}`;
  const isSpread = kind === 'key' && resourcePlacements.length > placements.length;
  return [
    placements.length > 1
      ? `${head} is spread over ${placements.length} databases; for each key the first rule that takes it decides:`
      : head,
    ...placements.map((placement) => `  ${placementLine(placement, source)}`),
    ...(isSpread
      ? [
          'other keys of this resource:',
          ...others(placements, resourcePlacements).map((placement) => `  ${placementLine(placement, source)}`),
        ]
      : []),
  ];
}

function others(placements: readonly Placement[], all: readonly Placement[]): Placement[] {
  return all.filter(({ backend, ruleIndex }) => !placements.some((own) => own.backend === backend && own.ruleIndex === ruleIndex));
}

function placementLine({ backend, endpoint, line, matcher, ruleIndex }: Placement, source: string): string {
  const database = `database "${backend}"${endpoint === '' ? '' : ` (${endpoint})`}`;
  if (ruleIndex === null) return `${database}: ${matcher}`;
  return `${database} by rule ${ruleIndex + 1}: ${matcher} (${source}${line === null ? '' : `, line ${line}`})`;
}

import { InvalidDeployOrderError, pinOf, type TopologyConfig } from '@harikube/crds';
import { configDocument, type Resolve } from '../config-document.js';
import { type MergeConfig, type MergedEntry, mergeTopology } from '../merge-topology.js';
import { keyOf } from './config-problems.js';

export interface MergePreviewInput {
  readonly config: TopologyConfig;
  /** The other TopologyConfigs of the target. */
  readonly others: readonly TopologyConfig[];
  /** What the target Secret holds. */
  readonly before: readonly MergedEntry[];
  readonly resolve: Resolve;
}

/** What the target Secret would hold if this object alone were merged anew. Throws `UnresolvedReferenceError`. */
export async function previewMerge({ config, others, before, resolve }: MergePreviewInput): Promise<readonly MergedEntry[]> {
  const document = configDocument(config, resolve);
  const alive = others.map((other): MergeConfig => ({ ...inMerge(other), wish: 'keep', document }));
  const own: MergeConfig = { ...inMerge(config), wish: 'present', document };
  // What an object left that is gone is for the operator to clear up.
  const known = new Set([own, ...alive].flatMap(({ uid, key }) => [uid, key]));
  const left = before
    .filter(({ uid, key }) => !known.has(uid) && !known.has(key))
    .map(({ uid, key, generation, order }): MergeConfig => ({ uid, key, generation, created: '', pin: order, wish: 'keep', document }));
  const { entries } = await mergeTopology({ configs: [...alive, ...left, own], before, judge: () => Promise.resolve(null) });
  return entries;
}

function inMerge(config: TopologyConfig): Pick<MergeConfig, 'uid' | 'key' | 'generation' | 'created' | 'pin'> {
  const { uid = keyOf(config), generation = 1, creationTimestamp: created = '9' } = config.metadata;
  return { uid, key: keyOf(config), generation, created, pin: pinOrAsBefore(config) };
}

function pinOrAsBefore(config: TopologyConfig): MergeConfig['pin'] {
  try {
    return pinOf(config);
  } catch (error) {
    if (error instanceof InvalidDeployOrderError) return 'as-before';
    throw error;
  }
}

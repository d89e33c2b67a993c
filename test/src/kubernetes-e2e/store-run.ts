import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Binaries, silent } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { RunningCluster } from '../e2e/running-cluster.js';
import { FakeNode } from './fake-node.js';
import type { Programs } from './programs.js';
import { type Outcomes, runSuite } from './suite.js';

export type Store = 'etcd' | 'router';

export interface StoreRun {
  readonly store: Store;
  readonly outcomes: Outcomes;
  /** Failed among the others and passed alone. */
  readonly timing: readonly string[];
  readonly seconds: number;
}

export interface StoreRunOptions {
  readonly store: Store;
  readonly texts: readonly string[];
  readonly folder: string;
  readonly parallel: number;
  readonly limitMinutes: number;
}

/** Custom resources of the specs, ConfigMaps with Secrets, and Events each lie in a file of their own; the rest in a fourth. */
const DATABASES: readonly { readonly name: string; readonly matcher: object }[] = [
  { name: 'config-maps', matcher: { prefix: { prefix: '/registry/configmaps/' } } },
  { name: 'secrets', matcher: { prefix: { prefix: '/registry/secrets/' } } },
  { name: 'events', matcher: { prefix: { prefix: '/registry/events/' } } },
  { name: 'custom-resources', matcher: { regexp: { prefix: '/registry/', key: '[^/]*\\.example\\.com/.*' } } },
];

/** Runs the specs on a control plane of their own; each that fails gets a second try alone. */
export async function runOnStore(programs: Programs, options: StoreRunOptions, note: (text: string) => void): Promise<StoreRun> {
  const { store, texts, folder, parallel, limitMinutes } = options;
  const { kubectl } = await new Binaries({ env: readEnv(), progress: silent }).find(['kubectl']);
  const cluster = await RunningCluster.start({ name: 'kubernetes-e2e', store, routerFlags: topologyFlags });
  try {
    const node = await FakeNode.start(cluster.kubeconfigFile);
    cluster.beforeStop(() => node.stop());
    const target = { kubeconfig: cluster.kubeconfigFile, kubectl: kubectl.path };
    const started = performance.now();
    const outcomes = new Map(await runSuite(programs, target, { name: store, folder, texts, parallel, limitMinutes }, note));
    const failed = texts.filter((text) => outcomes.get(text) !== null);
    const timing: string[] = [];
    if (failed.length > 0) {
      note(`${store}: a second try, alone, for ${failed.length} specs`);
      const again = await runSuite(programs, target, { name: `${store}-again`, folder, texts: failed, parallel: 1, limitMinutes }, note);
      for (const [text, outcome] of again) {
        outcomes.set(text, outcome);
        if (outcome === null) timing.push(text);
      }
    }
    return { store, outcomes, timing, seconds: (performance.now() - started) / 1000 };
  } finally {
    await cluster.stop();
  }
}

function topologyFlags(folder: string): string[] {
  const file = join(folder, 'topology.yaml');
  const backends = DATABASES.map(({ name, matcher }) => ({ name, endpoint: `sqlite://${join(dirname(file), `${name}.db`)}`, ...matcher }));
  writeFileSync(file, JSON.stringify({ backends }));
  return ['--topology-config', `file://${file}`];
}

import { afterEach, expect } from '@jest/globals';
import type { BackendStatus } from '@harikube/keyspace';
import { Gate } from './gate.js';
import { type HarnessOptions, KeyspaceHarness } from './keyspace-harness.js';

/**
 * Opens keyspaces whose backends a test gives faults by their hooks. After each test the hooks go, the keyspace has to close, and nobody may have
 * forgotten a snapshot.
 */
export function faultyKeyspaces(): (options?: HarnessOptions) => Promise<KeyspaceHarness> {
  const open: KeyspaceHarness[] = [];
  afterEach(async () => {
    for (const harness of open.splice(0)) {
      for (const hooks of Object.values(harness.hooks)) for (const name of Object.keys(hooks)) delete hooks[name as keyof typeof hooks];
      await harness.close();
      expect(harness.openSnapshots).toBe(0);
    }
  });
  return async (options = {}) => {
    const harness = await KeyspaceHarness.open(options);
    open.push(harness);
    return harness;
  };
}

/** Holds commits of a backend up before they are written. */
export function holdCommits(harness: KeyspaceHarness, backend = 'main'): Gate {
  const gate = new Gate();
  harness.hook(backend).beforeCommit = () => gate.pass();
  return gate;
}

/** Resolves when the database has told what became of its last commit. */
export async function untilKnown(harness: KeyspaceHarness, name: string): Promise<void> {
  const status = (): BackendStatus | undefined => harness.keyspace.backendStatus().find((each) => each.name === name);
  while (status()?.isInDoubt !== false || status()?.hasPending !== false) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Turns of the event loop in which everything that can go on does. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}

import { afterEach, describe, expect, it } from '@jest/globals';
import { Gate } from './gate.js';
import { KeyspaceHarness } from './keyspace-harness.js';
import { MemoryBackend, MemoryDatabase, type MemoryHooks } from './memory-backend.js';

let harness: KeyspaceHarness | undefined;

afterEach(() => harness?.close());

/** On a backend that prefers large batches or does not: '/a' is written, and '/b' comes while that is being committed. */
async function startTwo(prefersLargeBatches: boolean) {
  const commits: string[] = [];
  const hooks: MemoryHooks = {};
  const open = (name: string) =>
    Promise.resolve(Object.assign(new MemoryBackend(name, new MemoryDatabase(), hooks), { prefersLargeBatches }));
  const opened = (harness = await KeyspaceHarness.open({ open }));
  await opened.put('/a');
  await opened.put('/b');
  const gate = new Gate();
  hooks.beforeCommit = ({ rows }) => {
    commits.push(rows.map(({ key }) => key.toString()).join(' '));
    return commits.length === 1 ? gate.pass() : undefined;
  };
  const first = opened.put('/a');
  await gate.arrived;
  const second = opened.put('/b');
  return { put: (key: string) => opened.put(key), commits, first, second, gate };
}

describe('a backend that prefers large batches', () => {
  it('has those who waited for a commit and those who were in it in the next one', async () => {
    const { put, commits, first, second, gate } = await startTwo(true);
    const again = first.then(() => put('/a'));
    gate.open();
    await Promise.all([second, again]);
    expect(commits).toEqual(['/a', '/b /a']);
  });

  it('has those who waited alone when nobody comes', async () => {
    const { put, commits, first, second, gate } = await startTwo(true);
    gate.open();
    await Promise.all([first, second]);
    await put('/a');
    expect(commits).toEqual(['/a', '/b', '/a']);
  });
});

describe('any other backend', () => {
  it('has those who waited at once', async () => {
    const { put, commits, first, second, gate } = await startTwo(false);
    const again = first.then(() => put('/a'));
    gate.open();
    await Promise.all([second, again]);
    expect(commits).toEqual(['/a', '/b', '/a']);
  });
});

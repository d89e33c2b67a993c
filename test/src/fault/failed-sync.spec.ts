import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdClient } from '@harikube/testing';
import { COMMON } from './kind-topology.js';
import { failSystemCalls } from './system-call-fault.js';
import { ThreeFiles } from './three-files.js';

const KEY = `${COMMON}orders/a`;

let files: ThreeFiles;

beforeEach(async () => {
  files = await ThreeFiles.create({ isOne: true });
});

afterEach(() => files.remove());

/** Has the disk answer the fsyncs of the file with EIO; `when`: see SystemCallFault. */
function failSyncs(pid: number, when?: string): Promise<() => Promise<void>> {
  const file = `${files.file({ name: 'main', prefix: '' })}-wal`;
  return failSystemCalls({ pid, files: [file], calls: ['fsync', 'fdatasync'], error: 'EIO', ...(when === undefined ? {} : { when }) });
}

describe('a SQLite file whose fsync fails in a COMMIT', () => {
  it('does not have the write after kill -9 when somebody was told that it is not there', async () => {
    const router = await files.start();
    const client = new EtcdClient(router.address);
    const first = await client.put(KEY, 'acknowledged');
    const heal = await failSyncs(router.pid, '1');
    await expect(client.put(KEY, 'in doubt')).rejects.toMatchObject({ code: 14 });
    const { kvs, revision } = await client.get(KEY);
    expect([kvs[0]?.value.toString(), kvs[0]?.modRevision]).toEqual(['acknowledged', first]);
    client.close();
    await router.kill();
    await heal();
    const next = await files.start();
    const reader = new EtcdClient(next.address);
    const after = await reader.get(KEY);
    expect(after.kvs[0]?.value.toString()).toBe('acknowledged');
    expect(await reader.put(KEY, 'next')).toBeGreaterThan(revision);
    reader.close();
    await next.kill();
  });

  it('is unavailable as long as it does, acknowledges nothing, and goes on when it is healed', async () => {
    const router = await files.start();
    const client = new EtcdClient(router.address);
    const first = await client.put(KEY, 'acknowledged');
    const heal = await failSyncs(router.pid);
    await expect(client.put(KEY, 'in doubt')).rejects.toMatchObject({ code: 14 });
    await expect(client.put(KEY, 'refused')).rejects.toMatchObject({ code: 14, message: expect.stringMatching(/^etcdserver: /) });
    await heal();
    let revision = 0n;
    while (revision === 0n) revision = await client.put(KEY, 'healed').catch(() => 0n);
    expect(revision).toBeGreaterThan(first);
    client.close();
    await router.kill();
    const next = await files.start();
    const reader = new EtcdClient(next.address);
    expect((await reader.get(KEY)).kvs[0]?.value.toString()).toBe('healed');
    reader.close();
    await next.kill();
  });
});

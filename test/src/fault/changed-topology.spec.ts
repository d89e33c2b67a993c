import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdClient } from '@harikube/testing';
import { EMAILS, GROUP, TwoFiles, USERS } from './two-files.js';

let files: TwoFiles;

beforeEach(async () => {
  files = await TwoFiles.create();
});

afterEach(() => files.remove());

async function fill(): Promise<string[]> {
  const router = await files.start();
  const client = new EtcdClient(router.address);
  for (let i = 0; i < 7; i++) await client.put(`${USERS}ns/u${i}`, 'x');
  for (let i = 0; i < 5; i++) await client.put(`${EMAILS}ns/e${i}`, 'x');
  for (let i = 0; i < 3; i++) await client.put(`${GROUP}tenants/t${i}`, 'x');
  await client.put('/registry/pods/ns/p', 'x');
  const keys = await all(client);
  client.close();
  expect(await router.stop()).toBe(0);
  return keys;
}

async function all(client: EtcdClient): Promise<string[]> {
  const { kvs } = await client.list('/registry/');
  return kvs.map((kv) => `${kv.key.toString()} ${kv.createRevision} ${kv.modRevision} ${kv.version}`);
}

describe('a router started with another topology', () => {
  it.each([
    ['leaves out a backend that holds keys', ['users'], [/5 keys \(\d+ bytes\) in backend "emails" belong to "main"/]],
    ['captures keys that live elsewhere', ['users', 'emails', 'tenants'], [/3 keys \(\d+ bytes\) in backend "main" belong to "tenants"/]],
    [
      'does both',
      ['tenants', 'emails'],
      [/7 keys .* in backend "users" belong to "main"/, /3 keys .* in backend "main" belong to "tenants"/],
    ],
  ])('that %s goes on with the old one, says what stands in the way, and finds all keys', async (_name, kinds, sentences) => {
    const keys = await fill();
    expect(keys.length).toBe(16);
    await files.route(kinds);
    const router = await files.start();
    const { msg, reason } = await router.line(({ level }) => level === 'error');
    expect(msg).toBe('the topology is held back by keys that would have to move, the one in force stays; it is tried again');
    for (const sentence of sentences) expect(reason).toMatch(sentence);
    const client = new EtcdClient(router.address);
    expect(await all(client)).toEqual(keys);
    expect(await client.put(`${USERS}ns/u0`, 'y')).toBe(18n);
    client.close();
    expect(await router.stop()).toBe(0);
    await files.route(['users', 'emails']);
    const again = await files.start();
    expect(again.lines.map((line) => line.msg)).toContain('Backends registered: [users emails main]');
    expect(await again.stop()).toBe(0);
  });

  it('that takes nothing from anybody starts with it', async () => {
    const keys = await fill();
    await files.route(['users', 'emails', 'invoices']);
    const router = await files.start();
    expect(router.lines.map((line) => line.msg)).toContain('Backends registered: [users emails invoices main]');
    const client = new EtcdClient(router.address);
    expect(await all(client)).toEqual(keys);
    await client.put(`${GROUP}invoices/ns/i`, 'x');
    client.close();
    expect(await router.stop()).toBe(0);
    await files.route(['users', 'emails']);
    const held = await files.start();
    expect((await held.line(({ level }) => level === 'error')).reason).toMatch(
      /1 key \(\d+ bytes\) in backend "invoices" belongs to "main"/,
    );
    expect(await held.stop()).toBe(0);
  });
});

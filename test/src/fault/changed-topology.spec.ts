import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdClient } from '@harikube/testing';
import { RouterRefusedError } from './router-process.js';
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

async function refusal(): Promise<RouterRefusedError> {
  const error = await files.start().then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof RouterRefusedError)) throw new Error('the router was not refused', { cause: error });
  return error;
}

describe('a router started with another topology', () => {
  it.each([
    ['leaves out a backend that holds keys', ['users'], /backend "emails" .*5 keys/],
    ['captures keys that live elsewhere', ['users', 'emails', 'tenants'], /3 keys in backend "main" would be hidden/],
    ['does both', ['tenants', 'emails'], /backend "users" [^]*7 keys[^]*3 keys in backend "main"/],
  ])(
    'that %s refuses to start with their number, and finds all keys with the old one',
    async (_name, kinds, sentence) => {
      const keys = await fill();
      expect(keys.length).toBe(16);
      await files.route(kinds);
      const { exitCode, output } = await refusal();
      expect(exitCode).toBe(1);
      expect(output).toMatch(sentence);
      await files.route(['users', 'emails']);
      const router = await files.start();
      const client = new EtcdClient(router.address);
      expect(await all(client)).toEqual(keys);
      expect(await client.put(`${USERS}ns/u0`, 'y')).toBe(18n);
      client.close();
      expect(await router.stop()).toBe(0);
    },
    60_000,
  );

  it('that takes nothing from anybody starts', async () => {
    const keys = await fill();
    await files.route(['users', 'emails', 'invoices']);
    const router = await files.start();
    const client = new EtcdClient(router.address);
    expect(await all(client)).toEqual(keys);
    await client.put(`${GROUP}invoices/ns/i`, 'x');
    client.close();
    expect(await router.stop()).toBe(0);
    await files.route(['users', 'emails']);
    expect((await refusal()).output).toMatch(/1 key/);
  }, 60_000);
});

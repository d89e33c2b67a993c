import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { LAUNCHER, RouterProcess } from './router-process.js';

/** A process that still runs by then was not ended by its refusal. */
const ENDED_WITHIN_MS = 20_000;

let folder: string;
let taken: Server;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refused-'));
  taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
});

afterEach(() => {
  taken.close();
  rmSync(folder, { recursive: true });
});

function start(database: string, ...flags: string[]): { readonly status: number | null; readonly said: string } {
  const defaults = ['--listen-address=127.0.0.1:0', '--metrics-bind-address=0'].filter(
    (given) => !flags.some((flag) => flag.split('=')[0] === given.split('=')[0]),
  );
  const args = [LAUNCHER, 'router', ...defaults, `--endpoint=sqlite://${join(folder, database)}`, ...flags];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: ENDED_WITHIN_MS, killSignal: 'SIGKILL' });
  const said = stderr.split('\n').filter((line) => line.startsWith('harikube: '));
  return { status, said: said.join('\n') };
}

describe('a router that cannot start ends, with one sentence, when', () => {
  it('the port of the etcd API is taken', () => {
    const { port } = taken.address() as AddressInfo;
    const { status, said } = start('main.db', `--listen-address=127.0.0.1:${port}`);
    expect([status, said]).toEqual([1, expect.stringMatching(/^harikube: cannot serve the etcd API on .*: the port is in use.*$/)]);
  });

  it('the port of the metrics is taken, although the etcd API was served by then', () => {
    const { port } = taken.address() as AddressInfo;
    const { status, said } = start('main.db', `--metrics-bind-address=127.0.0.1:${port}`);
    expect([status, said]).toEqual([1, expect.stringMatching(/^harikube: cannot serve metrics and health on .*: the port is in use.*$/)]);
  });

  it('a certificate is missing, before a database is opened', () => {
    const missing = join(folder, 'missing.pem');
    const { status, said } = start('main.db', `--server-cert-file=${missing}`, `--server-key-file=${missing}`);
    expect([status, said]).toEqual([2, expect.stringMatching(/^harikube: --server-cert-file=.* cannot be read: there is no such file$/)]);
    expect(existsSync(join(folder, 'main.db'))).toBe(false);
  });

  it('its default database is one of the others of a store, which it leaves as it is', async () => {
    const topology = join(folder, 'topology.yaml');
    writeFileSync(topology, `backends:\n- name: pods\n  endpoint: sqlite://${join(folder, 'pods.db')}\n  prefix: {prefix: pods}\n`);
    const store = { database: join(folder, 'main.db'), topology };
    expect(await (await RouterProcess.start(store)).stop()).toBe(0);
    const { status, said } = start('pods.db');
    expect([status, said]).toEqual([1, expect.stringMatching(/^harikube: .*pods\.db cannot be the default database: .*$/)]);
    expect(await (await RouterProcess.start(store)).stop()).toBe(0);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { identifyProcess, SetupError } from '@harikube/local-cluster';
import { ConfigError } from '@harikube/platform';
import { DataFolder, type RunningState } from '../data-folder.js';
import { type RouterFlags, routerIfAny, routerOf } from './router-access.js';

let data: string;

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'harikube-data-'));
});
afterEach(() => rmSync(data, { recursive: true }));

/** As if this process were a `harikube up`. */
function runs(state: Partial<RunningState>): void {
  const supervisor = identifyProcess(process.pid);
  if (supervisor === null) throw new Error('this process is not there');
  const always = { startedAt: '', store: 'router', storeEndpoint: '', apiServerUrl: '', isReady: true } as const;
  new DataFolder(data).writeState({ supervisor, ...always, ...state });
}

describe('routerOf', () => {
  it('finds the router of a data folder', () => {
    runs({ adminUrl: 'http://127.0.0.1:2381', adminTokenFile: join(data, 'token') });
    expect(routerOf({ data }).address).toBe('http://127.0.0.1:2381');
    expect(routerIfAny({ data })?.address).toBe('http://127.0.0.1:2381');
  });

  it('takes an address with a token, or with a certificate', () => {
    const adminUrl = 'https://router.example.com:2381';
    expect(routerOf({ adminUrl, tokenFile: 'token', caFile: 'ca' }).address).toBe(adminUrl);
    expect(routerOf({ adminUrl, certFile: 'cert', keyFile: 'key' }).address).toBe(adminUrl);
  });

  it('says that nothing runs, and how to name another router', () => {
    for (const find of [routerOf, routerIfAny]) {
      expect(() => find({ data })).toThrow(SetupError);
      expect(() => find({ data })).toThrow(`nothing runs on ${data}: start it with "harikube up", or name another folder`);
    }
  });

  it('says that there is no topology in etcd', () => {
    runs({ store: 'etcd' });
    expect(() => routerOf({ data })).toThrow(`what runs on ${data} keeps everything in etcd: it has no topology`);
  });

  it.each<[RouterFlags, string]>([
    [{ data: 'x', adminUrl: 'https://a:1' }, '--data and --admin-url name two routers: leave one of them out'],
    [{ tokenFile: 'x' }, '--token-file has no meaning without --admin-url'],
    [{ data: 'x', keyFile: 'x' }, '--key-file has no meaning without --admin-url'],
    [{ adminUrl: 'https://a:1' }, 'give --token-file, or --cert-file and --key-file'],
    [{ adminUrl: 'https://a:1', certFile: 'x' }, 'a client certificate and its key belong together'],
    [{ adminUrl: 'a:1', tokenFile: 'x' }, '"a:1" is not the address of an admin API'],
  ])('refuses flags that contradict each other: %j', (flags, reason) => {
    expect(() => routerOf(flags)).toThrow(ConfigError);
    expect(() => routerOf(flags)).toThrow(reason);
  });
});

import { describe, expect, it } from '@jest/globals';
import { EndpointError } from '../endpoint-error.js';
import { etcdIdentity, etcdLocation, parseEtcd } from './etcd.js';

function reasonsOf(text: string): readonly string[] {
  try {
    parseEtcd(text, 'SHOWN');
    return [];
  } catch (error) {
    return error instanceof EndpointError ? error.reasons : [String(error)];
  }
}

describe('parseEtcd', () => {
  it('reads addresses, credentials and the limits of the server', () => {
    expect(parseEtcd('http://127.0.0.1:2381', '')).toEqual({
      scheme: 'http',
      addresses: [{ host: '127.0.0.1', port: 2381 }],
      user: null,
      password: null,
      maxTxnOps: 128,
      maxRequestBytes: 1_572_864,
    });
    expect(parseEtcd('HTTPS://us%40er:p@ss:w@a:1,B,[::1]:3/?max-txn-ops=512&max-request-bytes=10000000', '')).toEqual({
      scheme: 'https',
      addresses: [
        { host: 'a', port: 1 },
        { host: 'B', port: 2379 },
        { host: '::1', port: 3 },
      ],
      user: 'us@er',
      password: 'p@ss:w',
      maxTxnOps: 512,
      maxRequestBytes: 10_000_000,
    });
    expect(parseEtcd('https://a:1,https://b:2', '').addresses).toEqual([
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ]);
  });

  it('tells every reason at once, and nothing of what stands in the text', () => {
    expect(reasonsOf('https://user@a:0,http://b,b/registry?max-txn-op=1&max-request-bytes=1')).toEqual([
      'endpoint "SHOWN": unknown parameter "max-txn-op" (did you mean "max-txn-ops"?); there are max-txn-ops, max-request-bytes',
      'endpoint "SHOWN" names a user without a password, or a password without a user; write USER:PASSWORD@HOST:PORT',
      'endpoint "SHOWN": "0" is not a port; use a number from 1 to 65535',
      'endpoint "SHOWN" has addresses of several schemes; the members of one cluster are reached by https:// all',
      'endpoint "SHOWN" has a path ("/registry"), and an etcd has none; its keys stand under the prefix that kube-apiserver gives them',
      'endpoint "SHOWN" names b:2379 twice; leave one out',
      'endpoint "SHOWN": parameter max-request-bytes=1 is not supported; use a number from 16384 on, that of the server',
    ]);
    expect(reasonsOf('http://')).toEqual([
      'endpoint "SHOWN" names no host; write http://HOST:PORT or https://USER:PASSWORD@HOST:PORT,HOST:PORT',
    ]);
    expect(reasonsOf('http://u:%zz@a')).toEqual(['endpoint "SHOWN" has a % that is no escape; write %25 for a % in a name or a password']);
  });
});

describe('etcdIdentity', () => {
  it('is that of the members, however they are written', () => {
    expect(etcdIdentity(parseEtcd('https://u:p@B:1,a?max-txn-ops=256', ''))).toBe(etcdIdentity(parseEtcd('http://a:2379,b:1', '')));
    expect(etcdIdentity(parseEtcd('http://a:1', ''))).not.toBe(etcdIdentity(parseEtcd('http://a:2', '')));
  });
});

describe('etcdLocation', () => {
  it('has no credentials', () => {
    expect(etcdLocation(parseEtcd('https://user:password@h,[::1]:1', ''))).toBe('https://h:2379,[::1]:1');
  });
});

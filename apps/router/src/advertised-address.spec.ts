import type { NetworkInterfaceInfo } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import { parseListenAddress } from '@harikube/etcd-api';
import { advertisedAddress } from './advertised-address.js';

function at(address: string, internal = false): NetworkInterfaceInfo {
  const common = { address, netmask: '', mac: '', internal, cidr: null };
  return address.includes(':') ? { ...common, family: 'IPv6', scopeid: 0 } : { ...common, family: 'IPv4' };
}

const INTERFACES = { lo: [at('127.0.0.1', true), at('::1', true)], eth0: [at('fe80::1'), at('2001:db8::7'), at('192.0.2.7')] };

function advertised(listen: string, given: string | null = null, interfaces: Record<string, NetworkInterfaceInfo[]> = INTERFACES): string {
  return advertisedAddress(given, [parseListenAddress(listen)], interfaces);
}

describe('advertisedAddress', () => {
  it('is the address of a listener on one', () => {
    expect(advertised('http://192.0.2.9:2379')).toBe('192.0.2.9:2379');
    expect(advertised('https://[2001:db8::1]:2379')).toBe('[2001:db8::1]:2379');
    expect(advertised('http://router-0.routers:2379')).toBe('router-0.routers:2379');
    expect(advertised('http://127.0.0.1:40001')).toBe('127.0.0.1:40001');
  });

  it('is the first that others reach of a listener on all', () => {
    expect(advertised('http://0.0.0.0:2379')).toBe('192.0.2.7:2379');
    expect(advertised(':2379')).toBe('192.0.2.7:2379');
    expect(advertised('http://[::]:2379', null, { eth0: [at('fe80::1'), at('2001:db8::7')] })).toBe('[2001:db8::7]:2379');
    expect(advertised('http://0.0.0.0:2379', null, { lo: [at('127.0.0.1', true)] })).toBe('127.0.0.1:2379');
  });

  it('is none of a socket file, and what is given wins', () => {
    expect(advertised('unix:///run/router.sock')).toBe('');
    expect(advertised('unix:///run/router.sock', 'router-0:2379')).toBe('router-0:2379');
    expect(advertised('http://0.0.0.0:2379', '198.51.100.1:2379')).toBe('198.51.100.1:2379');
  });
});

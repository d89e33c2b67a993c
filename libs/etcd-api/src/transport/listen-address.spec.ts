import { describe, expect, it } from '@jest/globals';
import { formatAddress, isLocal, parseListenAddress } from './listen-address.js';

describe('parseListenAddress', () => {
  it.each([
    ['127.0.0.1:2379', 'tcp', '127.0.0.1', 2379, null],
    [':2379', 'tcp', '', 2379, null],
    ['tcp://0.0.0.0:2379', 'tcp', '0.0.0.0', 2379, null],
    ['http://localhost:0', 'tcp', 'localhost', 0, false],
    ['https://etcd.example:65535/', 'tcp', 'etcd.example', 65535, true],
    ['[::1]:2379', 'tcp', '::1', 2379, null],
    ['http://[fe80::1]:1', 'tcp', 'fe80::1', 1, false],
  ])('reads %s', (text, kind, host, port, tls) => {
    expect(parseListenAddress(text)).toEqual({ kind, host, port, tls });
  });

  it.each([
    ['unix:///run/etcd.sock', '/run/etcd.sock', false],
    ['unix://etcd.sock', 'etcd.sock', false],
    ['unixs:///run/etcd.sock', '/run/etcd.sock', true],
  ])('reads %s', (text, path, tls) => {
    expect(parseListenAddress(text)).toEqual({ kind: 'unix', path, tls });
  });

  it.each([
    ['', 'expected host:port'],
    ['2379', 'expected host:port'],
    ['host', 'expected host:port'],
    ['::1:2379', 'expected host:port'],
    ['host:99999', 'port 99999 is above 65535'],
    ['[host]:1', '"host" is not an IPv6 address'],
    ['http://host:1/path', 'expected host:port'],
    ['ftp://host:1', 'scheme "ftp" is not one of'],
    ['unix://', 'the path of the socket is missing'],
  ])('refuses "%s": %s', (text, reason) => {
    expect(() => parseListenAddress(text)).toThrow(reason);
    expect(() => parseListenAddress(text)).toThrow(`invalid listen address "${text}"`);
  });

  it.each([
    ['127.0.0.1:1', true],
    ['127.9.9.9:1', true],
    ['localhost:1', true],
    ['[::1]:1', true],
    ['unix:///run/x', true],
    [':1', false],
    ['0.0.0.0:1', false],
    ['10.0.0.1:1', false],
    ['127.example:1', false],
    ['[::]:1', false],
  ])('knows whether %s is this machine alone: %s', (text, local) => {
    expect(isLocal(parseListenAddress(text))).toBe(local);
  });

  it('writes an address as a client dials it', () => {
    expect(formatAddress({ kind: 'tcp', host: '::1', port: 2379, tls: null }, true)).toBe('https://[::1]:2379');
    expect(formatAddress({ kind: 'tcp', host: 'h', port: 1, tls: null }, false)).toBe('http://h:1');
    expect(formatAddress({ kind: 'unix', path: '/run/x', tls: false }, false)).toBe('unix:///run/x');
  });
});

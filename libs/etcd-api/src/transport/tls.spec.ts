import { once } from 'node:events';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Authority, type Certificate } from '../spec/certificates.js';
import { frameOf, GrpcClient } from '../spec/grpc-client.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { RouteTable } from './grpc-server.js';
import { Http2GrpcServer, type TlsMaterial } from './http2-grpc-server.js';

const routes: RouteTable = {
  '/test.Echo/Unary': { kind: 'unary', cancellable: true, handle: async (message) => frameOf(Buffer.from(message)) },
};

let authority: Authority;
let stranger: Authority;
let serverPair: Certificate;
let clientPair: Certificate;
let server: Http2GrpcServer;

beforeAll(async () => {
  authority = await Authority.create('ours');
  stranger = await Authority.create('another');
  serverPair = await authority.issue('server');
  clientPair = await authority.issue('client');
});

afterEach(() => server.close(0));

async function start(tls: TlsMaterial | undefined, address = '127.0.0.1:0'): Promise<string> {
  server = new Http2GrpcServer({ addresses: [address], tls, routes, toGrpcError: () => new GrpcError(GrpcCode.Internal, '') });
  return (await server.listen())[0] ?? '';
}

async function echo(url: string, options: { ca: string; cert?: string; key?: string }): Promise<number> {
  const client = new GrpcClient(url, options);
  const { code } = await client.call('/test.Echo/Unary', Buffer.from('x'));
  client.close();
  return code;
}

/** How a bare TLS handshake ends: the protocol agreed upon, or the error's code. */
async function handshake(url: string, options: ConnectionOptions): Promise<string> {
  const socket: TLSSocket = connectTls({ host: '127.0.0.1', port: Number(new URL(url).port), ca: authority.cert, ...options });
  const failed = once(socket, 'error').then(([error]) => String((error as NodeJS.ErrnoException).code));
  const ended = once(socket, 'close').then(() => 'closed');
  const secured = once(socket, 'secureConnect').then(() => `${socket.getProtocol()} ${socket.alpnProtocol}`);
  failed.catch(() => {});
  const outcome = await Promise.race([failed, secured, ended]);
  socket.destroy();
  return outcome;
}

describe('Http2GrpcServer over TLS', () => {
  it('serves clients that trust its authority, and agrees on h2', async () => {
    const url = await start({ ...serverPair });
    expect(url).toMatch(/^https:/);
    expect(await echo(url, { ca: authority.cert })).toBe(GrpcCode.Ok);
    expect(await handshake(url, { ALPNProtocols: ['h2', 'http/1.1'] })).toBe('TLSv1.3 h2');
    expect(await handshake(url, { ALPNProtocols: ['h2'], maxVersion: 'TLSv1.2' })).toBe('TLSv1.2 h2');
  });

  it('refuses TLS below 1.2 and clients whose protocols it does not speak', async () => {
    const url = await start({ ...serverPair });
    expect(
      await handshake(url, { ALPNProtocols: ['h2'], minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).toMatch(/ALERT_PROTOCOL_VERSION/);
    expect(await handshake(url, { ALPNProtocols: ['http/0.9'] })).toMatch(/NO_APPLICATION_PROTOCOL/);
    expect(await handshake(url, { ALPNProtocols: ['http/1.1'] })).toBe('TLSv1.3 http/1.1');
  });

  it('serves only clients with a certificate of the authority given', async () => {
    const url = await start({ ...serverPair, ca: authority.cert });
    expect(await echo(url, { ca: authority.cert, ...clientPair })).toBe(GrpcCode.Ok);
    expect(await echo(url, { ca: authority.cert })).toBeLessThan(0);
    expect(await echo(url, { ca: authority.cert, ...(await stranger.issue('client')) })).toBeLessThan(0);
  });

  it('uses other certificates for new connections while it runs', async () => {
    const url = await start({ ...serverPair });
    const before = new GrpcClient(url, { ca: authority.cert });
    expect((await before.call('/test.Echo/Unary', Buffer.from('x'))).code).toBe(GrpcCode.Ok);
    server.setTls(await stranger.issue('server'));
    expect(await echo(url, { ca: stranger.cert })).toBe(GrpcCode.Ok);
    expect(await echo(url, { ca: authority.cert })).toBeLessThan(0);
    expect((await before.call('/test.Echo/Unary', Buffer.from('x'))).code).toBe(GrpcCode.Ok);
    before.close();
  });

  it('follows the scheme of the address where it has one', async () => {
    expect(await start({ ...serverPair }, 'http://127.0.0.1:0')).toMatch(/^http:/);
    await server.close(0);
    expect(await start({ ...serverPair }, 'tcp://127.0.0.1:0')).toMatch(/^https:/);
    await server.close(0);
    await expect(start(undefined, 'https://127.0.0.1:0')).rejects.toThrow(
      'listen address "https://127.0.0.1:0" needs a certificate and a key',
    );
  });
});

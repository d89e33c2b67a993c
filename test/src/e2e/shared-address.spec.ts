import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import { freePort } from '@harikube/local-cluster';
import { SharedAddress } from './shared-address.js';

let server: Server;
let address: SharedAddress;

afterEach(async () => {
  await address.close();
  server.close();
});

describe('an address of several servers', () => {
  it('takes every one of many connections at once to the server that is there', async () => {
    server = createServer((socket) => socket.end('here')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    address = await SharedAddress.start([await freePort(), (server.address() as AddressInfo).port]);
    const answers = Array.from({ length: 20 }, async () => {
      const socket = connect(address.port, '127.0.0.1').setEncoding('utf8');
      let said = '';
      for await (const part of socket) said += String(part);
      return said;
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['here']));
  });
});

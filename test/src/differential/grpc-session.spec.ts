import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, it } from '@jest/globals';
import { GrpcSession } from './grpc-session.js';

const LARGE = Buffer.alloc(2 * 1024 * 1024);

it('a session takes answer after answer that comes before the request has left', async () => {
  const server = createServer();
  server.on('stream', (stream) => {
    stream.on('error', () => undefined); // the rest of a request may come later
    stream.respond({ ':status': 200, 'grpc-status': '8', 'grpc-message': 'too large' }, { endStream: true });
    stream.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = new GrpcSession(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    for (let i = 0; i < 8; i++) expect(await session.exchange('/a.B/C', [LARGE])).toEqual({ code: 8, text: 'too large', messages: [] });
  } finally {
    session.close();
    server.close();
  }
});

import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { checkPort, freePort } from './ports.js';

describe('checkPort', () => {
  it('accepts a free port', async () => {
    await expect(checkPort(await freePort(), '--port')).resolves.toBeUndefined();
  });

  it('names a busy port and the option that chooses another', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await expect(checkPort(port, '--port')).rejects.toThrow(
      `port ${port} of 127.0.0.1 is in use: stop the program that listens there or choose another port with --port`,
    );
    server.close();
  });
});

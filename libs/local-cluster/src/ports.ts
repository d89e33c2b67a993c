import { createServer } from 'node:net';
import { errorCode, SetupError } from './setup-error.js';

/** A port of 127.0.0.1 that is free at this moment. */
export async function freePort(): Promise<number> {
  return await listenOnce(0);
}

/** Refuses a port of 127.0.0.1 that is taken or may not be used, with the way out; `option` is what chooses another. */
export async function checkPort(port: number, option: string): Promise<void> {
  try {
    await listenOnce(port);
  } catch (error) {
    if (errorCode(error) === 'EADDRINUSE') {
      throw new SetupError(
        `port ${port} of 127.0.0.1 is in use: stop the program that listens there or choose another port with ${option}`,
        {
          cause: error,
        },
      );
    }
    if (errorCode(error) === 'EACCES') {
      throw new SetupError(`port ${port} of 127.0.0.1 needs more rights than this user has: choose one above 1023 with ${option}`, {
        cause: error,
      });
    }
    throw error;
  }
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('a TCP server has no address'));
        else resolve(address.port);
      });
    });
  });
}

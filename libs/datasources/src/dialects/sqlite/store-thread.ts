import { parentPort } from 'node:worker_threads';
import { FileConnection } from './file-connection.js';
import type { ThreadRequest, ThreadResponse } from './thread-protocol.js';

/*
 * A thread that owns SQLite connections. It does one request after the other, in the order they come.
 */

if (parentPort === null) throw new Error('store-thread.js is a worker thread of the router');
const port = parentPort;
const files = new Map<number, FileConnection>();

port.on('message', ({ id, file, method, argument }: ThreadRequest) => {
  let connection = files.get(file);
  if (connection === undefined) {
    connection = new FileConnection();
    files.set(file, connection);
  }
  try {
    const result: unknown = (connection[method] as (argument: unknown) => unknown).call(connection, argument);
    if (method === 'close') files.delete(file);
    const response: ThreadResponse = { id, result };
    port.postMessage(response, memoryOf(result));
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const message = error instanceof Error ? error.message : String(error);
    const response: ThreadResponse = { id, error: { message, code: typeof code === 'string' ? code : undefined } };
    port.postMessage(response);
  }
});

/** Memory that changes hands with a reply. */
function memoryOf(result: unknown): ArrayBuffer[] {
  if (typeof result !== 'object' || result === null) return [];
  if ('packed' in result) return [(result.packed as Uint8Array<ArrayBuffer>).buffer];
  if ('blocks' in result) return (result.blocks as Uint8Array<ArrayBuffer>[]).map((block) => block.buffer);
  if ('block' in result && result.block !== null) return [(result.block as Uint8Array<ArrayBuffer>).buffer];
  return [];
}

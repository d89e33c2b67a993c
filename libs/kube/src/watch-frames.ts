import { isStatus, ConnectionError } from './status-error.js';
import type { KubeObject, WatchEvent } from './kube-object.js';

/** More than any database behind a kube-apiserver lets through. */
const LARGEST_FRAME_BYTES = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * The events of a watch, one JSON object per line. The bytes of a line are put together once, when its end is there: a chunk may end anywhere,
 * also inside a character, and a line may be of many chunks. A stream that ends inside a line was cut.
 */
export async function* watchFrames<T extends KubeObject>(
  chunks: AsyncIterable<Uint8Array>,
  parse: (line: string) => unknown = JSON.parse,
): AsyncGenerator<WatchEvent<T>> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end));
      start = end + 1;
      const line = textOf(parts);
      parts = [];
      length = 0;
      if (line !== '') yield eventOf<T>(line, parse);
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > LARGEST_FRAME_BYTES) throw new ConnectionError(`an event of the watch is larger than ${LARGEST_FRAME_BYTES} bytes`);
  }
  if (textOf(parts) !== '') throw new ConnectionError('the watch ended in the middle of an event');
}

function textOf(parts: readonly Uint8Array[]): string {
  return Buffer.concat(parts).toString('utf8').trim();
}

function eventOf<T extends KubeObject>(line: string, parse: (line: string) => unknown): WatchEvent<T> {
  let value: unknown;
  try {
    value = parse(line);
  } catch (error) {
    throw new ConnectionError('an event of the watch is not JSON', { cause: error });
  }
  if (isEvent<T>(value)) return value;
  // Some proxies, and servers that fail late, answer 200 and then say this.
  if (isStatus(value)) return { type: 'ERROR', object: value };
  throw new ConnectionError('a line of the watch is not an event');
}

const TYPES: ReadonlySet<unknown> = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']);

function isEvent<T extends KubeObject>(value: unknown): value is WatchEvent<T> {
  if (typeof value !== 'object' || value === null || !('type' in value) || !('object' in value)) return false;
  return TYPES.has(value.type) && typeof value.object === 'object' && value.object !== null;
}

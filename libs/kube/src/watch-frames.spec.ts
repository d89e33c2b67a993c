import { describe, expect, it } from '@jest/globals';
import { ConnectionError } from './status-error.js';
import { watchFrames } from './watch-frames.js';

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function decoded(chunks: readonly Uint8Array[]): Promise<unknown[]> {
  const events: unknown[] = [];
  for await (const event of watchFrames(chunksOf(chunks))) events.push(event);
  return events;
}

const event = (name: string): object => ({ type: 'ADDED', object: { metadata: { name } } });
const line = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);

describe('watchFrames', () => {
  const events = [event('Bérces'), event('日本 🦀'), event('last')];
  const bytes = Buffer.concat(events.map(line));

  it('finds events whatever the chunks, also when they end inside a character', async () => {
    for (let size = 1; size <= bytes.length; size++) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
      expect(await decoded(chunks)).toEqual(events);
    }
  });

  it('yields an event before the next one has come', async () => {
    const stream = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(line(events[0])) });
    const frames = watchFrames(stream);
    expect((await frames.next()).value).toEqual(events[0]);
  });

  it('skips empty lines', async () => {
    expect(await decoded([Buffer.from('\n'), line(events[0]), Buffer.from('\r\n\n')])).toEqual([events[0]]);
  });

  it('puts an object of 24 MiB together in a time that grows with its size alone', async () => {
    const large = event('x'.repeat(24 * 1024 * 1024));
    const whole = line(large);
    const chunks = Array.from({ length: Math.ceil(whole.length / 1024) }, (_, index) => whole.subarray(index * 1024, (index + 1) * 1024));
    // To copy what is there with each of 24,577 chunks would be 300 GB.
    expect(await decoded(chunks)).toEqual([large]);
  });

  it('refuses an event that never ends', async () => {
    const chunk = Buffer.alloc(16 * 1024 * 1024, 'x');
    await expect(decoded([chunk, chunk, chunk, chunk, chunk])).rejects.toThrow('an event of the watch is larger than 67108864 bytes');
  });

  it('says that a stream was cut that ends inside an event', async () => {
    const frames = watchFrames(chunksOf([bytes.subarray(0, bytes.length - 1)]));
    expect((await frames.next()).value).toEqual(events[0]);
    expect((await frames.next()).value).toEqual(events[1]);
    await expect(frames.next()).rejects.toThrow(new ConnectionError('the watch ended in the middle of an event'));
  });

  it('says what is no event', async () => {
    await expect(decoded([Buffer.from('{"type":\n')])).rejects.toThrow('an event of the watch is not JSON');
    await expect(decoded([line({ type: 'SURPRISE', object: {} })])).rejects.toThrow('a line of the watch is not an event');
    await expect(decoded([line(null)])).rejects.toThrow('a line of the watch is not an event');
  });

  it('takes a bare Status as an error', async () => {
    const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code: 410 };
    expect(await decoded([line(status)])).toEqual([{ type: 'ERROR', object: status }]);
  });
});

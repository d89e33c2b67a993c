import { duplexPair } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { Random } from '../../spec/random.js';
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  headerBlock,
  HEADERS,
  PADDED,
  PING,
  PREFACE,
  rawFrame,
  request,
  rstStream,
  SETTINGS,
  settings,
  windowUpdate,
} from '../../spec/raw-connection.js';
import { Deadlines } from '../deadlines.js';
import { Http2Connection } from './connection.js';
import { DEFAULT_LIMITS } from './limits.js';
import { ServerLoad } from './server-load.js';

const BLOCK = headerBlock(request('/t.T/Second', [['grpc-timeout', '5S']]));
/** What grpc-go sends: a deadline that goes to the table, the rest by index. */
const INDEXED = Buffer.concat([Buffer.from('8386', 'hex'), Buffer.from('400c', 'hex'), Buffer.from('grpc-timeout'), Buffer.from('\x029m')]);

const CONVERSATION = Buffer.concat([
  PREFACE,
  settings([4, 1_000_000], [1, 4096]),
  rawFrame(SETTINGS, 1, 0),
  rawFrame(HEADERS, END_HEADERS, 1, headerBlock(request('/t.T/First'))),
  rawFrame(DATA, 0, 1, Buffer.from('ab')),
  rawFrame(PING, 0, 0, '12345678'),
  rawFrame(HEADERS, 0, 3, BLOCK.subarray(0, 20)),
  rawFrame(CONTINUATION, 0, 3),
  rawFrame(CONTINUATION, END_HEADERS, 3, BLOCK.subarray(20)),
  rawFrame(DATA, END_STREAM | PADDED, 3, Buffer.from('\x03cde\0\0\0')),
  rawFrame(0x77, 0, 3, 'ignored'),
  rawFrame(DATA, END_STREAM, 1),
  windowUpdate(0, 5),
  rawFrame(HEADERS, END_HEADERS, 5, Buffer.concat([INDEXED, headerBlock([['x', 'y']])])),
  rawFrame(
    HEADERS,
    END_HEADERS,
    7,
    Buffer.concat([Buffer.from('8386', 'hex'), headerBlock([[':path', '/t.T/Third']]), Buffer.from('be', 'hex')]),
  ),
  rstStream(7),
  rawFrame(PING, 0, 0, 'the last'),
]);

/** What comes of the conversation, cut at the positions given: what the calls saw, and every byte that was answered. */
async function play(cuts: readonly number[]): Promise<readonly [readonly string[], Buffer]> {
  const events: string[] = [];
  const [client, socket] = duplexPair();
  const connection = new Http2Connection(socket, {
    // Answers go out in each turn: the same answers come of the same turns.
    limits: { ...DEFAULT_LIMITS, turnMs: Infinity },
    deadlines: new Deadlines(),
    server: new ServerLoad(DEFAULT_LIMITS),
    onRequest: (stream, headers) => {
      events.push(`${stream.id} ${headers.path} ${headers.grpcTimeout ?? ''}`);
      stream.receiver = {
        data: (bytes, start, end) => void events.push(`${stream.id} ${bytes.toString('latin1', start, end)}`),
        ended: () => {
          events.push(`${stream.id} ended`);
          stream.reply(Buffer.from('answer'));
        },
        drained: () => {},
        closed: () => void events.push(`${stream.id} closed`),
      };
    },
    onClosed: () => {},
    onInternalError: (error) => void events.push(String(error)),
  });
  connection.start();
  const answered: Buffer[] = [];
  const isDone = new Promise<void>((resolve) => {
    client.on('data', (chunk: Buffer) => {
      answered.push(chunk);
      if (chunk.includes('the last')) resolve();
    });
  });
  let from = 0;
  for (const cut of [...cuts, CONVERSATION.length]) {
    if (cut > from) client.write(CONVERSATION.subarray(from, cut));
    from = cut;
  }
  await isDone;
  socket.destroy();
  return [events, Buffer.concat(answered)];
}

describe('Http2Connection, however the bytes come', () => {
  it('sees the same calls and gives the same answers', async () => {
    const whole = await play([]);
    expect(whole[0].slice(0, 10)).toEqual([
      ...['1 /t.T/First ', '1 ab', '3 /t.T/Second 5S', '3 cde', '3 ended', '3 closed', '1 ended', '1 closed'],
      // The fifth has no path: a stream error, which no call sees.
      ...['7 /t.T/Third 9m', '7 closed'],
    ]);
    for (let cut = 1; cut < CONVERSATION.length; cut++) expect([cut, ...(await play([cut]))]).toEqual([cut, ...whole]);
    const random = new Random(9113);
    for (let round = 0; round < 100; round++) {
      const cuts = Array.from({ length: random.below(40) }, () => random.below(CONVERSATION.length)).sort((a, b) => a - b);
      expect([cuts, ...(await play(cuts))]).toEqual([cuts, ...whole]);
    }
    const each = Array.from({ length: CONVERSATION.length }, (_, i) => i);
    expect(await play(each)).toEqual(whole);
  });
});

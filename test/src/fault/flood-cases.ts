import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  headerBlock,
  HEADERS,
  PING,
  PREFACE,
  PRIORITY,
  rawFrame,
  request,
  rstStream,
  settings,
  uint32,
  windowUpdate,
} from '@harikube/etcd-api/spec';
import { encodeMessage, type PlainMessage } from '../differential/etcd-messages.js';
import type { FloodClient } from './flood-client.js';

/** Values of this size lie under `BIG_PREFIX`: a list of them is longer than what a router answers from memory. */
export const BIG_VALUE_BYTES = 250_000;
export const BIG_VALUES = 40;
export const BIG_PREFIX = '/registry/big/';
/** Where the well-behaved client puts. */
export const BUSY_PREFIX = '/registry/busy/';

export type FloodCaseName = keyof typeof FLOOD_CASES;

export interface FloodCase {
  /** For people. */
  readonly what: string;
  /**
   * `ended`: its connections are ended. `bounded`: it breaks no rule, so that it is only borne; what it may hold is bounded.
   */
  readonly goal: 'ended' | 'bounded';
  /** Its connections are ended for taking too long: after so many seconds. */
  readonly patienceSeconds?: number;
  /** Goes on until the client's time is over; what ends a connection before that is the client's to tell. */
  run(client: FloodClient): Promise<void>;
}

const INITIAL_WINDOW_SIZE = 4;
const HEADER_TABLE_SIZE = 1;

const RANGE = '/etcdserverpb.KV/Range';
const PUT = '/etcdserverpb.KV/Put';
const WATCH = '/etcdserverpb.Watch/Watch';

/** Headers of calls that touch no table. */
const rangeBlock = headerBlock(request(RANGE));
const putBlock = headerBlock(request(PUT));
const watchBlock = headerBlock(request(WATCH));

function frameOf(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0]), uint32(message.length), message]);
}

const bigList = frameOf(encodeMessage('RangeRequest', { key: BIG_PREFIX, range_end: '/registry/big0' }));
const bigPage = frameOf(encodeMessage('RangeRequest', { key: BIG_PREFIX, range_end: '/registry/big0', limit: 14n }));
const bigGet = frameOf(encodeMessage('RangeRequest', { key: `${BIG_PREFIX}0` }));

function call(streamId: number, block: Buffer, message: Buffer): Buffer {
  return Buffer.concat([rawFrame(HEADERS, END_HEADERS, streamId, block), rawFrame(DATA, END_STREAM, streamId, message)]);
}

/** Frames again and again, on one connection after another. */
function repeated(frames: (round: number) => Buffer, perWrite = 1000): (client: FloodClient) => Promise<void> {
  return (client) =>
    client.again(async (connection) => {
      for (let round = 0; client.isFlooding; round += perWrite) {
        const parts = Array.from({ length: perWrite }, (_, i) => frames(round + i));
        if (!(await connection.flush(...parts))) return;
      }
    });
}

/** Opens one stream, and then the same frames again and again. */
function repeatedOnStream(frames: () => Buffer, block = watchBlock): (client: FloodClient) => Promise<void> {
  return (client) =>
    client.again(async (connection) => {
      await connection.flush(rawFrame(HEADERS, END_HEADERS, 1, block));
      const many = Buffer.concat(Array.from({ length: 1000 }, frames));
      while (client.isFlooding && (await connection.flush(many)));
    });
}

/** Opens many connections that say no more than this, and holds them. */
function silent(count: number, ...said: readonly Buffer[]): (client: FloodClient) => Promise<void> {
  return async (client) => {
    for (let opened = 0; opened < count && client.isFlooding; opened += 100) {
      await Promise.all(Array.from({ length: 100 }, () => client.connect().flush(...said)));
    }
    await client.over;
  };
}

/** Calls whose answers the client does not want to have. */
function unread(message: Buffer, calls: number, window: number): (client: FloodClient) => Promise<void> {
  return async (client) => {
    const connection = await client.open([INITIAL_WINDOW_SIZE, window]);
    for (let i = 0; i < calls; i++) if (!(await connection.flush(call(2 * i + 1, rangeBlock, message)))) break;
    // One byte now and then, so that nobody takes it for dead.
    for (let i = 0; client.isFlooding && !connection.isClosed; i++) {
      await connection.flush(windowUpdate(2 * (i % calls) + 1, 1));
      await client.pause(5);
    }
  };
}

function watchOf(request: PlainMessage): Buffer {
  return frameOf(encodeMessage('WatchRequest', request));
}

const watchBusy = watchOf({ create_request: { key: BUSY_PREFIX, range_end: '/registry/busy0', prev_kv: true } });
const MANY_WATCHES = 10_000;

function watchOfOne(i: number): Buffer {
  return watchOf({ create_request: { key: `/registry/idle/${i}` } });
}

/** A field of 4000 bytes for the dynamic table, and as many references to it as fit in a block. */
const bombField = Buffer.concat([Buffer.from('400161', 'hex'), Buffer.from('7f811e', 'hex'), Buffer.alloc(0x7f + 0xf01, 'y')]);
const bomb = Buffer.concat([bombField, Buffer.alloc(12_000, 0xbe)]);

export const FLOOD_CASES = {
  'rapid-reset': {
    what: 'watch streams opened and reset at once (CVE-2023-44487)',
    goal: 'ended',
    run: repeated((round) => Buffer.concat([rawFrame(HEADERS, END_HEADERS, 2 * round + 1, watchBlock), rstStream(2 * round + 1)])),
  },
  'reset-lists': {
    what: 'lists asked for and reset at once',
    goal: 'ended',
    run: repeated((round) => Buffer.concat([call(2 * round + 1, rangeBlock, bigList), rstStream(2 * round + 1)]), 100),
  },
  'provoked-resets': {
    what: 'streams that the server has to reset (CVE-2025-8671)',
    goal: 'ended',
    run: repeated((round) => Buffer.concat([rawFrame(HEADERS, END_HEADERS, 2 * round + 1, watchBlock), windowUpdate(2 * round + 1, 0)])),
  },
  ping: { what: 'PING', goal: 'ended', run: repeated(() => rawFrame(PING, 0, 0, Buffer.alloc(8))) },
  settings: { what: 'SETTINGS', goal: 'ended', run: repeated(() => settings([INITIAL_WINDOW_SIZE, 65_535])) },
  'settings-windows': {
    what: 'SETTINGS that change the windows of 10 000 streams',
    goal: 'ended',
    run: (client) =>
      client.again(async (connection) => {
        const streams = Array.from({ length: 10_000 }, (_, i) => rawFrame(HEADERS, END_HEADERS, 2 * i + 1, putBlock));
        await connection.flush(...streams);
        const flips = Array.from({ length: 200 }, (_, i) => settings([INITIAL_WINDOW_SIZE, 65_535 + (i % 2)]));
        while (client.isFlooding && (await connection.flush(...flips)));
      }),
  },
  continuation: {
    what: 'a header block without end (CVE-2024-27316)',
    goal: 'ended',
    run: (client) =>
      client.again(async (connection) => {
        await connection.flush(rawFrame(HEADERS, 0, 1, rangeBlock));
        const more = Buffer.concat(
          Array.from({ length: 20 }, () => rawFrame(CONTINUATION, 0, 1, headerBlock([['a', 'x'.repeat(16_000)]]))),
        );
        while (client.isFlooding && (await connection.flush(more)));
      }),
  },
  'empty-continuation': {
    what: 'a header block of empty frames',
    goal: 'ended',
    run: (client) =>
      client.again(async (connection) => {
        await connection.flush(rawFrame(HEADERS, 0, 1, rangeBlock));
        const more = Buffer.concat(Array.from({ length: 1000 }, () => rawFrame(CONTINUATION, 0, 1)));
        while (client.isFlooding && (await connection.flush(more)));
      }),
  },
  'empty-data': { what: 'empty DATA', goal: 'ended', run: repeatedOnStream(() => rawFrame(DATA, 0, 1)) },
  priority: { what: 'PRIORITY', goal: 'ended', run: repeated((round) => rawFrame(PRIORITY, 0, 2 * round + 1, Buffer.alloc(5))) },
  'window-update': { what: 'WINDOW_UPDATE', goal: 'ended', run: repeatedOnStream(() => windowUpdate(1, 1)) },
  'unknown-frames': { what: 'frames of unknown types', goal: 'ended', run: repeated(() => rawFrame(0x42, 0, 0, Buffer.alloc(64))) },
  'header-bomb': {
    what: 'header lists of 48 MB in 16 kB of HPACK',
    goal: 'ended',
    run: repeated((round) => rawFrame(HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, bomb), 10),
  },
  'many-headers': {
    what: 'requests with 1000 header fields',
    goal: 'bounded',
    run: (client) => {
      const fields = Array.from({ length: 1000 }, (_, i): [string, string] => [`x${i}`, 'y']);
      const block = headerBlock([...request('/no.Service/Method'), ...fields]);
      const flood = repeated((round) => rawFrame(HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, block), 50);
      return flood(client);
    },
  },
  'table-sizes': {
    what: 'header blocks of table size updates, and an encoder table that comes and goes',
    goal: 'ended',
    run: repeated(
      (round) =>
        Buffer.concat([
          settings([HEADER_TABLE_SIZE, round % 2 === 0 ? 0 : 4096]),
          rawFrame(HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, Buffer.concat([Buffer.alloc(8000, 0x20), rangeBlock])),
        ]),
      20,
    ),
  },
  'two-gigabytes': {
    what: 'messages that announce 2 GiB',
    goal: 'bounded',
    run: repeated((round) => {
      const head = Buffer.concat([Buffer.from([0]), uint32(2 ** 31)]);
      const streamId = 2 * round + 1;
      return Buffer.concat([
        rawFrame(HEADERS, END_HEADERS, streamId, putBlock),
        rawFrame(DATA, 0, streamId, Buffer.concat([head, Buffer.alloc(1000)])),
      ]);
    }, 100),
  },
  'half-messages': {
    what: 'puts of 2 MiB that stop before their end, as many as are taken',
    goal: 'bounded',
    run: (client) =>
      client.again(async (connection) => {
        const head = Buffer.concat([Buffer.from([0]), uint32(2 * 1024 * 1024)]);
        const part = (streamId: number): Buffer => rawFrame(DATA, 0, streamId, Buffer.alloc(16_000, 'x'));
        for (let streamId = 1; client.isFlooding; streamId += 2) {
          const parts = Array.from({ length: 120 }, () => part(streamId));
          const opened = [rawFrame(HEADERS, END_HEADERS, streamId, putBlock), rawFrame(DATA, 0, streamId, head)];
          if (!(await connection.flush(...opened, ...parts))) return;
          // The router has given the connection's window back.
          await connection.reads();
        }
      }),
  },
  'endless-streams': {
    what: '20 000 calls that never say anything, and more',
    goal: 'bounded',
    run: async (client) => {
      const connection = await client.open();
      for (let round = 0; client.isFlooding; round += 1000) {
        const streams = Array.from({ length: 1000 }, (_, i) => rawFrame(HEADERS, END_HEADERS, 2 * (round + i) + 1, putBlock));
        if (!(await connection.flush(...streams))) return;
        await client.pause(50);
      }
    },
  },
  'silent-connections': {
    what: '2000 connections that say nothing',
    goal: 'ended',
    patienceSeconds: 11,
    run: silent(2000, Buffer.alloc(0)),
  },
  'half-prefaces': {
    what: '2000 connections with half a preface',
    goal: 'ended',
    patienceSeconds: 11,
    run: silent(2000, PREFACE.subarray(0, 10)),
  },
  'half-header-blocks': {
    what: '1000 connections with half a header block',
    goal: 'ended',
    patienceSeconds: 11,
    run: silent(1000, PREFACE, settings(), rawFrame(HEADERS, 0, 1, Buffer.alloc(16_000, 0x82))),
  },
  'dead-peers': {
    what: '1000 connections that open a watch and then say nothing, not even to a PING',
    goal: 'bounded',
    run: silent(1000, PREFACE, settings(), rawFrame(HEADERS, END_HEADERS, 1, watchBlock), rawFrame(DATA, 0, 1, watchOfOne(0))),
  },
  'unread-pages': { what: '1000 pages of 3.5 MB for a window of 0', goal: 'ended', patienceSeconds: 32, run: unread(bigPage, 1000, 0) },
  'unread-lists': { what: '1000 lists of 10 MB for a window of 1', goal: 'ended', patienceSeconds: 32, run: unread(bigList, 1000, 1) },
  'unread-gets': { what: '5000 gets of 250 kB for a window of 0', goal: 'ended', patienceSeconds: 32, run: unread(bigGet, 5000, 0) },
  'unread-socket': {
    what: 'lists for a client that does not read its socket',
    goal: 'ended',
    patienceSeconds: 32,
    run: async (client) => {
      const connection = await client.open([INITIAL_WINDOW_SIZE, 0x7fffffff]);
      await connection.flush(windowUpdate(0, 0x7fff0000 - 65_535));
      connection.pause();
      for (let i = 0; i < 200 && client.isFlooding; i++) await connection.flush(call(2 * i + 1, rangeBlock, bigPage));
      await client.over;
      connection.resume();
      await client.pause(200);
    },
  },
  'unread-watch': {
    what: 'a watch on everything that the other client puts, which stops reading',
    goal: 'bounded',
    run: async (client) => {
      const connection = await client.open();
      const watches = Array.from({ length: 100 }, () => rawFrame(DATA, 0, 1, watchBusy));
      await connection.flush(rawFrame(HEADERS, END_HEADERS, 1, watchBlock), ...watches);
      connection.pause();
      await client.over;
    },
  },
  'unread-watches': {
    what: '1000 streams, with a watch each, whose client stops reading',
    goal: 'bounded',
    run: async (client) => {
      const connection = await client.open([INITIAL_WINDOW_SIZE, 1000]);
      for (let i = 0; i < 1000; i++) {
        await connection.flush(rawFrame(HEADERS, END_HEADERS, 2 * i + 1, watchBlock), rawFrame(DATA, 0, 2 * i + 1, watchBusy));
      }
      await client.over;
    },
  },
  'many-watches': {
    what: '10 000 watches on one stream',
    goal: 'bounded',
    run: async (client) => {
      const connection = await client.open();
      await connection.flush(rawFrame(HEADERS, END_HEADERS, 1, watchBlock));
      for (let i = 0; i < MANY_WATCHES; i += 100) {
        await connection.flush(...Array.from({ length: 100 }, (_, j) => rawFrame(DATA, 0, 1, watchOfOne(i + j))));
        await connection.reads();
      }
      await client.over;
    },
  },
  'watches-again': {
    what: '10 000 watches created and cancelled, again and again',
    goal: 'bounded',
    run: async (client) => {
      const connection = await client.open();
      await connection.flush(rawFrame(HEADERS, END_HEADERS, 1, watchBlock));
      for (let id = 0; client.isFlooding; id += 100) {
        const creations = Array.from({ length: 100 }, (_, i) => rawFrame(DATA, 0, 1, watchOfOne(i)));
        const cancellations = Array.from({ length: 100 }, (_, i) =>
          rawFrame(DATA, 0, 1, watchOf({ cancel_request: { watch_id: BigInt(id + i) } })),
        );
        if (!(await connection.flush(...creations, ...cancellations))) return;
        await connection.reads();
      }
    },
  },
} as const satisfies Readonly<Record<string, FloodCase>>;

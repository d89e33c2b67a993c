import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeHeaders, Flag, frame, FrameType, numberFrame, PREFACE, Setting, settingsFrame } from '@harikube/http2';
import { encodeKeyValue, frameRecord, ownedBlock, type RangeResult, type Store } from '@harikube/keyspace';
import type { ResponseHeaderWriter } from './codec/response-header.js';
import { toGrpcError } from './etcd-status.js';
import { answerRange } from './services/kv-service.js';
import { Deadlines } from './transport/deadlines.js';
import type { MethodName, UnaryRoute } from './transport/grpc-server.js';
import { Http2Connection } from './transport/http2/connection.js';
import { DEFAULT_LIMITS } from './transport/http2/limits.js';
import { ServerLoad } from './transport/http2/server-load.js';
import { Http2Call, type CallEnvironment } from './transport/http2-call.js';
import { writer } from './wire/wire-writer.js';

/*
 * The first lists after a start cost three to eight times what later ones do: V8 compiles a function when it first runs, and well only
 * when it has run often. So a server that has served for a moment answers a few lists to nobody, with pauses in which it serves.
 * The requests go through the real code from the bytes of HTTP/2 to the store and back to bytes; they ask for keys that nobody has, and
 * records made up here stand for those in the answers.
 */

const LISTS = 24;
const RECORDS = 500;
const VALUE_BYTES = 1500;
const PAUSE_MS = 10;
/** More than all answers together. */
const WINDOW_BYTES = 64 * 1024 * 1024;

const METHOD: MethodName = { service: 'etcdserverpb.KV', method: 'Range', type: 'unary' };

/** Resolves when lists are warm, or at once when `signal` says that the server closes. Never rejects. */
export async function warmUpLists(store: Store, header: () => ResponseHeaderWriter, signal: AbortSignal): Promise<void> {
  const sample = sampleBlock();
  const route: UnaryRoute = {
    kind: 'unary',
    cancellable: true,
    isRead: true,
    handle: (message) => answerRange(message, header, { range: async (request) => withSample(await store.range(request), sample) }),
  };
  const deadlines = new Deadlines();
  const environment: CallEnvironment = {
    toGrpcError,
    observer: undefined,
    streamBufferBytes: WINDOW_BYTES,
    openStreams: new Set(),
    deadlines,
  };
  const socket = new Nowhere();
  const connection = new Http2Connection(socket, {
    limits: DEFAULT_LIMITS,
    deadlines,
    server: new ServerLoad(DEFAULT_LIMITS),
    onRequest: (stream) => new Http2Call(stream, route, METHOD, environment, undefined).start(undefined),
    onClosed: () => {},
    onInternalError: () => {},
  });
  connection.start();
  socket.push(
    Buffer.concat([
      PREFACE,
      settingsFrame([[Setting.InitialWindowSize, WINDOW_BYTES]]),
      numberFrame(FrameType.WindowUpdate, 0, WINDOW_BYTES),
    ]),
  );
  for (let list = 0; list < LISTS && !signal.aborted; list++) {
    socket.push(listRequest(2 * list + 1));
    await delay(PAUSE_MS, undefined, { ref: false });
  }
  connection.destroy();
}

/** The other end of a connection that nobody is at. */
class Nowhere extends Duplex {
  override _read(): void {}

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }

  override _writev(_chunks: unknown, done: () => void): void {
    done();
  }
}

function withSample(result: RangeResult, sample: Buffer): RangeResult {
  const block = ownedBlock(new Uint8Array(sample));
  return { revision: result.revision, count: RECORDS, more: true, records: RECORDS, bytes: block.length, blocks: [block] };
}

function sampleBlock(): Buffer {
  const value = Buffer.alloc(VALUE_BYTES);
  const record = encodeKeyValue({
    key: Buffer.from('/registry/warm-up'),
    createRevision: 1n,
    modRevision: 1n,
    version: 1n,
    value,
    lease: 0n,
  });
  return Buffer.concat(Array.from({ length: RECORDS }, () => frameRecord(record)));
}

/** A page of a range that is empty in every store: no key of etcd's clients begins with a zero byte. */
function listRequest(streamId: number): Buffer {
  const message = writer.reset();
  message.bytesAlways(1, Buffer.from([0, 0]));
  message.bytesAlways(2, Buffer.from([0, 1]));
  message.number(3, RECORDS);
  const framed = message.frame();
  const block = encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', `/${METHOD.service}/${METHOD.method}`],
    ['content-type', 'application/grpc'],
  ]);
  return Buffer.concat([
    frame(FrameType.Headers, Flag.EndHeaders, streamId, block),
    frame(FrameType.Data, Flag.EndStream, streamId, framed),
  ]);
}

import type { WatchMessage } from '@harikube/keyspace';
import type { WireReader } from '../wire/wire-reader.js';
import { FRAME_PREFIX, writeFramePrefix, writer } from '../wire/wire-writer.js';
import type { ResponseHeaderWriter } from './response-header.js';

/** `WatchCreateRequest.FilterType`. */
export const WatchFilter = { NoPut: 0, NoDelete: 1 } as const;

/** `etcdserverpb.WatchCreateRequest` as it came over the wire. */
export interface WatchCreateMessage {
  readonly type: 'create';
  key: Buffer;
  rangeEnd: Buffer;
  startRevision: bigint;
  progressNotify: boolean;
  readonly filters: number[];
  prevKv: boolean;
  watchId: bigint;
  fragment: boolean;
}

/** The member of `etcdserverpb.WatchRequest`; null when it has none. */
export type WatchRequestMessage = WatchCreateMessage | { readonly type: 'cancel'; watchId: bigint } | { readonly type: 'progress' } | null;

const EMPTY = Buffer.alloc(0);

export function decodeWatchRequest(reader: WireReader): WatchRequestMessage {
  let message: WatchRequestMessage = null;
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message = decodeCreate(reader.message());
        break;
      case 2:
        message = decodeCancel(reader.message());
        break;
      case 3:
        skipAll(reader.message());
        message = { type: 'progress' };
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

function decodeCreate(reader: WireReader): WatchCreateMessage {
  const message: WatchCreateMessage = {
    type: 'create',
    key: EMPTY,
    rangeEnd: EMPTY,
    startRevision: 0n,
    progressNotify: false,
    filters: [],
    prevKv: false,
    watchId: 0n,
    fragment: false,
  };
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message.key = reader.bytes();
        break;
      case 2:
        message.rangeEnd = reader.bytes();
        break;
      case 3:
        message.startRevision = reader.int64();
        break;
      case 4:
        message.progressNotify = reader.bool();
        break;
      case 5:
        reader.enumerations(message.filters);
        break;
      case 6:
        message.prevKv = reader.bool();
        break;
      case 7:
        message.watchId = reader.int64();
        break;
      case 8:
        message.fragment = reader.bool();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

function decodeCancel(reader: WireReader): WatchRequestMessage {
  let watchId = 0n;
  while (reader.next()) {
    if (reader.field === 1) watchId = reader.int64();
    else reader.skip();
  }
  return { type: 'cancel', watchId };
}

function skipAll(reader: WireReader): void {
  while (reader.next()) reader.skip();
}

type ControlMessage = Exclude<WatchMessage, { type: 'events' }>;

/**
 * A WatchResponse without events: `header`=1, `watch_id`=2, `created`=3, `canceled`=4, `compact_revision`=5,
 * `cancel_reason`=6.
 */
export function encodeWatchControl(header: ResponseHeaderWriter, message: ControlMessage): Buffer {
  const target = writer.reset();
  header.write(target, message.revision);
  target.int64(2, message.watchId);
  if (message.type === 'created') target.bool(3, true);
  if (message.type === 'canceled') {
    target.bool(3, message.refused);
    target.bool(4, true);
    target.int64(5, message.compactRevision);
    target.string(6, message.reason);
  }
  return target.frame();
}

/** Up to here the events of a message are copied into one buffer; above it, they are sent as they are. */
const COPY_LIMIT = 16 * 1024;

/** A WatchResponse with events (`fragment`=7, `events`=11), as the parts of one frame. */
export function encodeWatchEvents(
  header: ResponseHeaderWriter,
  watchId: bigint,
  revision: bigint,
  events: readonly Buffer[],
  fragment: boolean,
): readonly Buffer[] {
  const target = writer.reset();
  header.write(target, revision);
  target.int64(2, watchId);
  target.bool(7, fragment);
  const headEnd = target.position;
  let length = headEnd;
  for (const event of events) length += event.length;
  const isCopied = length <= COPY_LIMIT;
  const head = Buffer.allocUnsafe(isCopied ? length : headEnd);
  let offset = target.copyTo(head, 0, 0, headEnd);
  writeFramePrefix(head, length - FRAME_PREFIX);
  if (!isCopied) return [head, ...events];
  for (const event of events) offset += event.copy(head, offset);
  return [head];
}

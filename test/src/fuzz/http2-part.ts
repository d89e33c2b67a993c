import {
  ACK,
  CONTINUATION,
  damaged,
  DATA,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  headerBlock,
  HEADERS,
  PADDED,
  PING,
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  type Random,
  randomMessage,
  RawConnection,
  rawFrame,
  request,
  rstStream,
  SETTINGS,
  settings,
  uint32,
  WINDOW_UPDATE,
  windowUpdate,
} from '@harikube/etcd-api/spec';
import { setTimeout as delay } from 'node:timers/promises';
import type { FuzzPart, FuzzTarget } from './fuzz-part.js';
import { RouterTarget } from './router-target.js';

/** Frames and header blocks as no client sends them, to a router that serves others. */
export const http2Part: FuzzPart = {
  name: 'http2',
  what: 'frames of HTTP/2 and HPACK',
  start: async () => new Http2Target(await RouterTarget.start()),
};

/** Connections between two looks at whether another client is served. */
const CONNECTIONS_PER_CHECK = 20;
/** What a connection gets for its answers. */
const PATIENCE_MS = 200;

class Http2Target implements FuzzTarget {
  #executions = 0;

  constructor(private readonly router: RouterTarget) {}

  async execute(random: Random): Promise<void> {
    const conversation = Buffer.concat(Array.from({ length: 1 + random.below(20) }, () => randomFrame(random)));
    const bytes = random.below(3) === 0 ? damaged(conversation, random) : conversation;
    const preface = random.below(50) === 0 ? damaged(PREFACE, random) : Buffer.concat([PREFACE, settings()]);
    const connection = new RawConnection(this.router.address, () => false);
    for (const part of random.bool() ? [preface, bytes] : [Buffer.concat([preface, bytes])]) await connection.flush(part);
    if (random.below(10) === 0) await Promise.race([connection.closed(), delay(PATIENCE_MS)]);
    connection.destroy();
    if (++this.#executions % CONNECTIONS_PER_CHECK === 0) await this.router.check(bytes);
  }

  check(): Promise<void> {
    return this.router.check(Buffer.alloc(0));
  }

  close(): Promise<void> {
    return this.router.close();
  }
}

const PATHS = ['KV/Range', 'KV/Put', 'KV/Txn', 'Watch/Watch', 'Lease/LeaseKeepAlive', 'Maintenance/Status', 'No/Method'];
const TYPES = [DATA, HEADERS, PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, 0x42];

function randomFrame(random: Random): Buffer {
  const streamId = random.pick([0, 1, 1, 1, 3, 5, 2, 7, 0x7fffffff, 0xffffffff]);
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
      return rawFrame(HEADERS, random.pick([END_HEADERS, END_HEADERS, END_HEADERS | END_STREAM, 0, 0xff]), streamId, randomBlock(random));
    case 3:
      return rawFrame(CONTINUATION, random.pick([0, END_HEADERS]), streamId, randomBlock(random));
    case 4:
    case 5:
    case 6:
      return rawFrame(DATA, random.pick([0, END_STREAM, PADDED]), streamId, randomBody(random));
    case 7:
      return rawFrame(
        SETTINGS,
        random.pick([0, 0, ACK]),
        random.pick([0, 0, streamId]),
        Buffer.concat(random.list(4, () => randomSetting(random))),
      );
    case 8:
      return windowUpdate(streamId, random.pick([0, 1, 1000, 0x7fffffff, 0xffffffff]));
    case 9:
      return rstStream(streamId, random.below(20));
    case 10:
      return rawFrame(PING, random.pick([0, ACK]), random.pick([0, streamId]), random.bytes().subarray(0, 8));
    default:
      return rawFrame(random.pick(TYPES), random.below(256), streamId, random.bytes().subarray(0, 16_384));
  }
}

function randomSetting(random: Random): Buffer {
  return Buffer.concat([Buffer.from([0, random.below(9)]), uint32(random.pick([0, 1, 4096, 16_384, 65_535, 0x7fffffff, 0xffffffff]))]);
}

function randomBlock(random: Random): Buffer {
  const fields = request(`/etcdserverpb.${random.pick(PATHS)}`, [['grpc-timeout', random.pick(['1S', '1n', '99999999H', 'x'])]]);
  const block = headerBlock(random.bool() ? fields : fields.slice(random.below(fields.length)));
  const tricks = Buffer.from(Array.from({ length: random.below(30) }, () => random.below(256)));
  const whole = random.below(3) === 0 ? Buffer.concat(random.bool() ? [tricks, block] : [block, tricks]) : block;
  return random.below(3) === 0 ? damaged(whole, random) : whole;
}

function randomBody(random: Random): Buffer {
  const message = randomMessage(
    `etcdserverpb.${random.pick(['RangeRequest', 'PutRequest', 'TxnRequest', 'WatchRequest'])}`,
    random,
  ).subarray(0, 16_000);
  const frame = Buffer.concat([Buffer.from([random.below(20) === 0 ? random.below(256) : 0]), uint32(message.length), message]);
  return random.below(4) === 0 ? damaged(frame, random).subarray(0, 16_384) : frame;
}

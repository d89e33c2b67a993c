import { describe, expect, it } from '@jest/globals';
import {
  encodeEvent,
  encodeKeyValue,
  frameRecord,
  type KeyValue,
  type RangeResult,
  type TxnOpResult,
  type WatchMessage,
} from '@harikube/keyspace';
import { decode, readable, type PlainMessage } from '../spec/protocol.js';
import { Random } from '../spec/random.js';
import type { Reply } from '../wire/reply.js';
import { encodeMemberListResponse } from './cluster.js';
import { encodeDeleteRangeResponse } from './delete-range.js';
import { encodeHealthCheckResponse, encodeHealthListResponse, ServingStatus } from './health.js';
import { encodeLeaseGrantResponse, encodeLeaseKeepAliveResponse } from './lease.js';
import { encodeStatusResponse } from './maintenance.js';
import { encodePutResponse } from './put.js';
import { encodeRangeResponse, encodeRangeStreamEnd, encodeRangeStreamPart } from './range.js';
import { ResponseHeaderWriter } from './response-header.js';
import { encodeTxnResponse } from './txn.js';
import { encodeWatchControl, encodeWatchEvents } from './watch.js';

const ROUNDS = 150;
const identity = { clusterId: 2n ** 64n - 1n, memberId: 0x8000_0000_0000_0001n, raftTerm: 1n };
const header = new ResponseHeaderWriter(identity);

/** What the generic implementation reads from a frame is what was meant. */
function reads(type: string, message: Buffer, expected: PlainMessage): void {
  expect(readable(decode(type, message))).toEqual(readable(expected));
}

function plainHeader(revision: bigint): PlainMessage {
  return { cluster_id: '18446744073709551615', member_id: '9223372036854775809', revision: `${revision}`, raft_term: '1' };
}

function operationHeader(revision: bigint): PlainMessage {
  return { cluster_id: '0', member_id: '0', revision: `${revision}`, raft_term: '0' };
}

function keyValue(random: Random): KeyValue {
  return {
    key: random.bytes(),
    value: random.bytes(),
    createRevision: random.int64(),
    modRevision: random.int64(),
    version: random.int64(),
    lease: random.int64(),
  };
}

function plainKeyValue(kv: KeyValue): PlainMessage {
  return {
    key: kv.key,
    create_revision: `${kv.createRevision}`,
    mod_revision: `${kv.modRevision}`,
    version: `${kv.version}`,
    value: kv.value,
    lease: `${kv.lease}`,
  };
}

/** The message inside a frame, or inside the parts of one, whose prefix must be right. */
function unframe(parts: Buffer | readonly Buffer[]): Buffer {
  const frame = Buffer.isBuffer(parts) ? parts : Buffer.concat(parts);
  expect(frame[0]).toBe(0);
  expect(frame.readUInt32BE(1)).toBe(frame.length - 5);
  return frame.subarray(5);
}

function unframeReply(reply: Reply): Buffer {
  if (Buffer.isBuffer(reply)) return unframe(reply);
  const frame = unframe([...reply.head, reply.tail]);
  expect(reply.length).toBe(frame.length + 5);
  return frame;
}

function rangeResult(random: Random, kvs: readonly KeyValue[]): RangeResult {
  const blocks = kvs.map((kv) => frameRecord(encodeKeyValue(kv)));
  const bytes = blocks.reduce((sum, block) => sum + block.length, 0);
  return { revision: random.int64(), count: random.below(2 ** 31), more: random.bool(), records: kvs.length, bytes, blocks };
}

describe('response encoders', () => {
  it('write a RangeResponse that the generic implementation reads, small and large', () => {
    const random = new Random(11);
    let large = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const kvs = random.list(40, () => keyValue(random));
      const result = rangeResult(random, kvs);
      const reply = encodeRangeResponse(header, result);
      if (!Buffer.isBuffer(reply)) large++;
      reads('etcdserverpb.RangeResponse', unframeReply(reply), {
        header: plainHeader(result.revision),
        kvs: kvs.map(plainKeyValue),
        more: result.more,
        count: `${result.count}`,
      });
    }
    expect(large).toBeGreaterThan(10);
  });

  it('write the messages of a RangeStream, of which only the last has header, more and count', () => {
    const random = new Random(12);
    for (let round = 0; round < ROUNDS; round++) {
      const kvs = random.list(6, () => keyValue(random));
      const result = rangeResult(random, kvs);
      reads('etcdserverpb.RangeStreamResponse', unframe(encodeRangeStreamPart(result.blocks, result.bytes)), {
        range_response: { header: null, kvs: kvs.map(plainKeyValue), more: false, count: '0' },
      });
      reads('etcdserverpb.RangeStreamResponse', unframe(encodeRangeStreamEnd(header, result, result.blocks, result.bytes)), {
        range_response: { header: plainHeader(result.revision), kvs: kvs.map(plainKeyValue), more: result.more, count: `${result.count}` },
      });
    }
  });

  it('write a PutResponse and a DeleteRangeResponse that the generic implementation reads', () => {
    const random = new Random(13);
    for (let round = 0; round < ROUNDS; round++) {
      const revision = random.int64();
      const kvs = random.list(4, () => keyValue(random));
      const [first] = kvs;
      reads('etcdserverpb.PutResponse', unframe(encodePutResponse(header, revision, first === undefined ? null : encodeKeyValue(first))), {
        header: plainHeader(revision),
        prev_kv: first === undefined ? null : plainKeyValue(first),
      });
      const deleted = random.below(2 ** 31);
      reads('etcdserverpb.DeleteRangeResponse', unframe(encodeDeleteRangeResponse(header, revision, deleted, kvs.map(encodeKeyValue))), {
        header: plainHeader(revision),
        deleted: `${deleted}`,
        prev_kvs: kvs.map(plainKeyValue),
      });
    }
  });

  it('write a TxnResponse that the generic implementation reads, nested ones included', () => {
    const random = new Random(14);
    for (let round = 0; round < ROUNDS; round++) {
      const revision = random.int64();
      const answers = random.list(5, () => operation(random, revision, 0));
      const succeeded = random.bool();
      const frame = encodeTxnResponse(header, { type: 'txn', revision, succeeded, responses: answers.map(([result]) => result) });
      reads('etcdserverpb.TxnResponse', unframe(frame), {
        header: plainHeader(revision),
        succeeded,
        responses: answers.map(([, plain]) => plain),
      });
    }
  });

  it('refuse an answer of more than 2 GiB as gRPC-Go does, and write the next one', () => {
    const txn = (kvs: readonly Buffer[]): Buffer => {
      const range: TxnOpResult = { type: 'range', count: kvs.length, more: false, kvs };
      return encodeTxnResponse(header, { type: 'txn', revision: 7n, succeeded: true, responses: [range] });
    };
    const before = txn([]);
    // Memory that nobody touches.
    const huge = Buffer.from(new ArrayBuffer(2 ** 31));
    expect(() => txn([Buffer.from('k'), huge])).toThrow(/^grpc: trying to send message larger than max \(21474\d+ vs. 2147483647\)$/);
    expect(txn([])).toEqual(before);
  });

  it('write every kind of WatchResponse that the generic implementation reads', () => {
    const random = new Random(15);
    for (let round = 0; round < ROUNDS; round++) {
      const common = { watchId: random.pick([-1n, 0n, 7n, random.int64()]), revision: random.int64() };
      const compactRevision = random.int64();
      const reason = random.pick(['', 'etcdserver: mvcc: required revision has been compacted', 'wählerisch']);
      const messages: readonly Exclude<WatchMessage, { type: 'events' }>[] = [
        { type: 'created', ...common },
        { type: 'progress', ...common },
        { type: 'canceled', ...common, compactRevision, reason, refused: random.bool() },
      ];
      for (const message of messages) {
        reads('etcdserverpb.WatchResponse', unframe(encodeWatchControl(header, message)), {
          header: plainHeader(common.revision),
          watch_id: `${common.watchId}`,
          created: message.type === 'created' || (message.type === 'canceled' && message.refused),
          canceled: message.type === 'canceled',
          compact_revision: message.type === 'canceled' ? `${compactRevision}` : '0',
          cancel_reason: message.type === 'canceled' ? reason : '',
          fragment: false,
          events: [],
        });
      }
    }
  });

  it('write watch events that the generic implementation reads, few and many', () => {
    const random = new Random(16);
    let split = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const [watchId, revision, fragment] = [random.int64(), random.int64(), random.bool()];
      const events = random.list(10, () => ({
        isDelete: random.bool(),
        kv: keyValue(random),
        prev: random.bool() ? keyValue(random) : null,
      }));
      const encoded = events.map((e) => encodeEvent(e.isDelete, encodeKeyValue(e.kv), e.prev === null ? null : encodeKeyValue(e.prev)));
      const parts = encodeWatchEvents(header, watchId, revision, encoded, fragment);
      if (parts.length > 1) split++;
      reads('etcdserverpb.WatchResponse', unframe(parts), {
        header: plainHeader(revision),
        watch_id: `${watchId}`,
        created: false,
        canceled: false,
        compact_revision: '0',
        cancel_reason: '',
        fragment,
        events: events.map((e) => ({
          type: e.isDelete ? 1 : 0,
          kv: plainKeyValue(e.kv),
          prev_kv: e.prev === null ? null : plainKeyValue(e.prev),
        })),
      });
    }
    expect(split).toBeGreaterThan(10);
  });

  it('write the lease answers that the generic implementation reads', () => {
    const random = new Random(17);
    for (let round = 0; round < ROUNDS; round++) {
      const [revision, id, ttl] = [random.int64(), random.int64(), random.int64()];
      const expected = { header: plainHeader(revision), ID: `${id}`, TTL: `${ttl}` };
      reads('etcdserverpb.LeaseGrantResponse', unframe(encodeLeaseGrantResponse(header, { id, ttl, revision })), {
        ...expected,
        error: '',
      });
      reads('etcdserverpb.LeaseKeepAliveResponse', unframe(encodeLeaseKeepAliveResponse(header, revision, id, ttl)), expected);
      reads('etcdserverpb.LeaseRevokeResponse', unframe(header.frame(revision)), { header: plainHeader(revision) });
    }
  });

  it('write Status and MemberList so that every field that tools print is there', () => {
    const status = { revision: 42n, version: '3.6.8', storageVersion: '3.6.0', sizeBytes: 2 ** 40, sizeInUseBytes: 5 };
    reads('etcdserverpb.StatusResponse', unframe(encodeStatusResponse(header, status)), {
      header: plainHeader(42n),
      version: '3.6.8',
      dbSize: `${2 ** 40}`,
      leader: '9223372036854775809',
      raftIndex: '42',
      raftTerm: '1',
      raftAppliedIndex: '42',
      errors: [],
      dbSizeInUse: '5',
      isLearner: false,
      storageVersion: '3.6.0',
      dbSizeQuota: '0',
      downgradeInfo: { enabled: false, targetVersion: '' },
    });
    const member = { name: 'harikube', peerUrls: ['http://p'], clientUrls: ['http://a', 'http://b'] };
    reads('etcdserverpb.MemberListResponse', unframe(encodeMemberListResponse(header, member)), {
      header: plainHeader(0n),
      members: [
        { ID: '9223372036854775809', name: 'harikube', peerURLs: ['http://p'], clientURLs: ['http://a', 'http://b'], isLearner: false },
      ],
    });
  });

  it('write the health answers that the generic implementation reads', () => {
    for (const status of Object.values(ServingStatus)) {
      reads('grpc.health.v1.HealthCheckResponse', unframe(encodeHealthCheckResponse(status)), { status });
      reads('grpc.health.v1.HealthListResponse', unframe(encodeHealthListResponse(new Map([['', status]]))), {
        statuses: { '': { status } },
      });
    }
  });
});

function operation(random: Random, revision: bigint, depth: number): readonly [TxnOpResult, PlainMessage] {
  const kvs = random.list(3, () => keyValue(random));
  const records = kvs.map(encodeKeyValue);
  const [first] = kvs;
  const count = random.below(2 ** 31);
  switch (random.below(depth < 2 ? 4 : 3)) {
    case 0: {
      const more = random.bool();
      const isBefore = random.bool();
      const plain = {
        header: operationHeader(isBefore ? BigInt.asIntN(64, revision - 1n) : revision),
        kvs: kvs.map(plainKeyValue),
        more,
        count: `${count}`,
      };
      return [
        { type: 'range', count, more, kvs: records, isBefore },
        { response_range: plain, response: 'response_range' },
      ];
    }
    case 1: {
      const plain = { header: operationHeader(revision), prev_kv: first === undefined ? null : plainKeyValue(first) };
      return [
        { type: 'put', prevKv: records[0] ?? null },
        { response_put: plain, response: 'response_put' },
      ];
    }
    case 2: {
      const plain = { header: operationHeader(revision), deleted: `${count}`, prev_kvs: kvs.map(plainKeyValue) };
      return [
        { type: 'delete', deleted: count, prevKvs: records },
        { response_delete_range: plain, response: 'response_delete_range' },
      ];
    }
    default: {
      const answers = random.list(3, () => operation(random, revision, depth + 1));
      const succeeded = random.bool();
      const plain = { header: operationHeader(0n), succeeded, responses: answers.map(([, answer]) => answer) };
      const responses = answers.map(([result]) => result);
      return [
        { type: 'txn', revision, succeeded, responses },
        { response_txn: plain, response: 'response_txn' },
      ];
    }
  }
}

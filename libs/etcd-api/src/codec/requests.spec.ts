import { describe, expect, it } from '@jest/globals';
import { encode, readable, type PlainMessage } from '../spec/protocol.js';
import { Random } from '../spec/random.js';
import { WireReader } from '../wire/wire-reader.js';
import { decodeCompactionRequest } from './compaction.js';
import { decodeDeleteRangeRequest } from './delete-range.js';
import { decodeHealthCheckRequest } from './health.js';
import { decodeLeaseGrantRequest, decodeLeaseId } from './lease.js';
import { decodeAlarmRequest } from './maintenance.js';
import { decodePutRequest } from './put.js';
import { decodeRangeRequest } from './range.js';
import { CompareMember, decodeTxnRequest } from './txn.js';
import { decodeWatchRequest } from './watch.js';

const ROUNDS = 200;
const EMPTY = Buffer.alloc(0);

/** One message twice: as the generic implementation takes it, and as our decoder has to return it. */
interface Sample {
  readonly plain: PlainMessage;
  readonly expected: unknown;
}

type Compare = { member: number; number: bigint; value: Buffer; plain: PlainMessage };

class Samples {
  constructor(private readonly random: Random) {}

  range(): Sample {
    const r = this.random;
    const message = {
      key: r.bytes(),
      rangeEnd: r.bytes(),
      limit: r.int64(),
      revision: r.int64(),
      sortOrder: r.below(3),
      sortTarget: r.below(5),
      serializable: r.bool(),
      keysOnly: r.bool(),
      countOnly: r.bool(),
      minModRevision: r.int64(),
      maxModRevision: r.int64(),
      minCreateRevision: r.int64(),
      maxCreateRevision: r.int64(),
    };
    return { plain: snakeCase(message), expected: { type: 'range', ...message } };
  }

  put(): Sample {
    const r = this.random;
    const message = { key: r.bytes(), value: r.bytes(), lease: r.int64(), prevKv: r.bool(), ignoreValue: r.bool(), ignoreLease: r.bool() };
    return { plain: snakeCase(message), expected: { type: 'put', ...message } };
  }

  deleteRange(): Sample {
    const r = this.random;
    const message = { key: r.bytes(), rangeEnd: r.bytes(), prevKv: r.bool() };
    return { plain: snakeCase(message), expected: { type: 'delete', ...message } };
  }

  txn(depth = 0): Sample {
    const r = this.random;
    const compares = r.list(4, () => this.compare());
    const success = r.list(4, () => this.operation(depth));
    const failure = r.list(3, () => this.operation(depth));
    return {
      plain: { compare: compares.map((s) => s.plain), success: success.map((s) => s.plain), failure: failure.map((s) => s.plain) },
      expected: {
        type: 'txn',
        compare: compares.map((s) => s.expected),
        success: success.map((s) => s.expected),
        failure: failure.map((s) => s.expected),
      },
    };
  }

  watch(): Sample {
    const r = this.random;
    switch (r.below(4)) {
      case 0:
        return { plain: {}, expected: null };
      case 1: {
        const watchId = r.int64();
        return { plain: { cancel_request: snakeCase({ watchId }) }, expected: { type: 'cancel', watchId } };
      }
      case 2:
        return { plain: { progress_request: {} }, expected: { type: 'progress' } };
      default: {
        const message = {
          key: r.bytes(),
          rangeEnd: r.bytes(),
          startRevision: r.int64(),
          progressNotify: r.bool(),
          filters: r.list(3, () => r.below(2)),
          prevKv: r.bool(),
          watchId: r.int64(),
          fragment: r.bool(),
        };
        return { plain: { create_request: snakeCase(message) }, expected: { type: 'create', ...message } };
      }
    }
  }

  private operation(depth: number): Sample {
    const make = this.random.pick([
      ['request_range', () => this.range()],
      ['request_put', () => this.put()],
      ['request_delete_range', () => this.deleteRange()],
      [
        'request_txn',
        () => (depth < 2 ? this.txn(depth + 1) : { plain: {}, expected: { type: 'txn', compare: [], success: [], failure: [] } }),
      ],
      ['none', () => ({ plain: {}, expected: null })],
    ] as const);
    const sample = make[1]();
    return make[0] === 'none' ? sample : { plain: { [make[0]]: sample.plain }, expected: sample.expected };
  }

  private compare(): Sample {
    const r = this.random;
    const common = { result: r.below(4), target: r.below(5), key: r.bytes(), rangeEnd: r.bytes() };
    const number = r.int64();
    const value = r.bytes();
    const members: readonly Compare[] = [
      { member: CompareMember.None, number: 0n, value: EMPTY, plain: {} },
      { member: CompareMember.Version, number, value: EMPTY, plain: { version: `${number}` } },
      { member: CompareMember.CreateRevision, number, value: EMPTY, plain: { create_revision: `${number}` } },
      { member: CompareMember.ModRevision, number, value: EMPTY, plain: { mod_revision: `${number}` } },
      { member: CompareMember.Value, number: 0n, value, plain: { value } },
      { member: CompareMember.Lease, number, value: EMPTY, plain: { lease: `${number}` } },
    ];
    const { plain, ...member } = r.pick(members);
    return { plain: { ...snakeCase(common), ...plain }, expected: { ...common, ...member } };
  }
}

/** Field names as the .proto files have them, bigints as decimal strings. */
function snakeCase(message: Readonly<Record<string, unknown>>): PlainMessage {
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      typeof value === 'bigint' ? value.toString() : value,
    ]),
  );
}

function agrees(type: string, seed: number, sample: (samples: Samples) => Sample, decode: (reader: WireReader) => unknown): void {
  const random = new Random(seed);
  const samples = new Samples(random);
  for (let round = 0; round < ROUNDS; round++) {
    const { plain, expected } = sample(samples);
    const bytes = Buffer.concat([random.unknownField([]), encode(type, plain), random.unknownField([])]);
    expect(readable(decode(new WireReader(bytes)))).toEqual(readable(expected));
  }
}

describe('request decoders', () => {
  it('read a RangeRequest as the generic implementation wrote it', () => {
    agrees('etcdserverpb.RangeRequest', 1, (s) => s.range(), decodeRangeRequest);
  });

  it('read a PutRequest as the generic implementation wrote it', () => {
    agrees('etcdserverpb.PutRequest', 2, (s) => s.put(), decodePutRequest);
  });

  it('read a DeleteRangeRequest as the generic implementation wrote it', () => {
    agrees('etcdserverpb.DeleteRangeRequest', 3, (s) => s.deleteRange(), decodeDeleteRangeRequest);
  });

  it('read a TxnRequest as the generic implementation wrote it, nested ones included', () => {
    agrees(
      'etcdserverpb.TxnRequest',
      4,
      (s) => s.txn(),
      (reader) => decodeTxnRequest(reader),
    );
  });

  it('read a WatchRequest as the generic implementation wrote it', () => {
    agrees('etcdserverpb.WatchRequest', 5, (s) => s.watch(), decodeWatchRequest);
  });

  it('read the small requests as the generic implementation wrote them', () => {
    const random = new Random(6);
    for (let round = 0; round < ROUNDS; round++) {
      const [revision, id] = [random.int64(), random.int64()];
      const memberId = BigInt.asUintN(64, id);
      const physical = random.bool();
      const read = <T>(type: string, plain: PlainMessage, decode: (reader: WireReader) => T): T => {
        return decode(new WireReader(Buffer.concat([encode(type, plain), random.unknownField([])])));
      };
      const text = { TTL: `${revision}`, ID: `${id}` };
      expect(read('etcdserverpb.CompactionRequest', { revision: `${revision}`, physical }, decodeCompactionRequest)).toEqual({
        revision,
        physical,
      });
      expect(read('etcdserverpb.LeaseGrantRequest', text, decodeLeaseGrantRequest)).toEqual({ ttl: revision, id });
      expect(read('etcdserverpb.LeaseRevokeRequest', { ID: `${id}` }, decodeLeaseId)).toBe(id);
      expect(read('etcdserverpb.LeaseKeepAliveRequest', { ID: `${id}` }, decodeLeaseId)).toBe(id);
      const alarm = { action: random.below(3), memberID: `${memberId}`, alarm: random.below(3) };
      expect(read('etcdserverpb.AlarmRequest', alarm, decodeAlarmRequest)).toEqual({ action: alarm.action, memberId, alarm: alarm.alarm });
      const service = random.pick(['', 'a', 'KV', 'größer']);
      expect(read('grpc.health.v1.HealthCheckRequest', { service }, decodeHealthCheckRequest)).toBe(service);
    }
  });

  it('skip the selector fields of a patched kube-apiserver', () => {
    const selectors = Buffer.concat([Buffer.from([14 * 8 + 2, 3]), Buffer.from('a=b'), Buffer.from([15 * 8 + 2, 3]), Buffer.from('c=d')]);
    const range = decodeRangeRequest(
      new WireReader(Buffer.concat([selectors, encode('etcdserverpb.RangeRequest', { key: Buffer.from('k') })])),
    );
    expect(range.key.toString()).toBe('k');
    const fields = Buffer.concat([Buffer.from([9 * 8 + 2, 3]), Buffer.from('a=b'), Buffer.from([10 * 8 + 2, 3]), Buffer.from('c=d')]);
    const create = Buffer.concat([encode('etcdserverpb.WatchCreateRequest', { key: Buffer.from('k') }), fields]);
    const watch = decodeWatchRequest(new WireReader(Buffer.concat([Buffer.from([0x0a, create.length]), create])));
    expect(watch).toMatchObject({ type: 'create', key: Buffer.from('k') });
  });

  it('read a repeated enum packed and unpacked', () => {
    const packed = Buffer.from([0x2a, 3, 0, 1, 1]);
    const unpacked = Buffer.from([0x28, 0, 0x28, 1, 0x28, 1]);
    for (const filters of [packed, unpacked, Buffer.concat([unpacked, packed])]) {
      const watch = decodeWatchRequest(new WireReader(Buffer.concat([Buffer.from([0x0a, filters.length]), filters])));
      expect(watch).toMatchObject({ filters: filters.length > 6 ? [0, 1, 1, 0, 1, 1] : [0, 1, 1] });
    }
  });

  it('take the member of a oneof that comes last, zero or not', () => {
    const compare = Buffer.from([0x38 | 2, 1, 0x61, 0x30, 0]);
    const message = decodeTxnRequest(new WireReader(Buffer.concat([Buffer.from([0x0a, compare.length]), compare])));
    expect(message.compare).toEqual([
      { result: 0, target: 0, key: EMPTY, member: CompareMember.ModRevision, number: 0n, value: EMPTY, rangeEnd: EMPTY },
    ]);
  });

  it('take the last of a oneof’s messages that comes twice, as etcd does, and merge nothing', () => {
    const [first, second] = [Buffer.from([0x0a, 2, 0x28, 1]), Buffer.from([0x0a, 2, 0x30, 1])];
    const watch = decodeWatchRequest(new WireReader(Buffer.concat([first, second])));
    expect(watch).toMatchObject({ filters: [], prevKv: true });
  });

  it('copy keys and values out of the message', () => {
    const bytes = encode('etcdserverpb.PutRequest', { key: Buffer.from('key'), value: Buffer.from('value') });
    const put = decodePutRequest(new WireReader(bytes));
    bytes.fill(0);
    expect([put.key.toString(), put.value.toString()]).toEqual(['key', 'value']);
  });
});

describe('malformed requests', () => {
  const malformed: readonly (readonly [string, readonly number[]])[] = [
    ['a varint that does not end', [0x18, 0x80, 0x80]],
    ['a varint of eleven bytes', [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ['a tag of eleven bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ['a length beyond the end', [0x0a, 5, 0x61]],
    ['a length of 2^63', [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
    ['a length without bytes', [0x0a]],
    ['a number where bytes belong', [0x08, 1]],
    ['bytes where a number belongs', [0x1a, 1, 1]],
    ['a fixed64 where a number belongs', [0x19, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['the field number 0', [0x00, 1]],
    ['a group', [0xa3, 0x06, 0xa4, 0x06]],
    ['the end of a group', [0xa4, 0x06]],
    ['wire type 6', [0xa6, 0x06]],
    ['an unknown fixed64 cut short', [0xa1, 0x06, 1, 2, 3]],
    ['an unknown fixed32 cut short', [0xa5, 0x06, 1]],
    ['unknown bytes cut short', [0xa2, 0x06, 4, 1]],
  ];

  it.each(malformed)('refuse %s', (_name, bytes) => {
    expect(() => decodeRangeRequest(new WireReader(Buffer.from(bytes)))).toThrow(/^malformed request message: /);
  });

  it('refuse txns nested without end', () => {
    let message = Buffer.alloc(0);
    for (let depth = 0; depth < 130; depth++) {
      const operation = Buffer.concat([Buffer.from([0x22]), lengthOf(message), message]);
      message = Buffer.concat([Buffer.from([0x12]), lengthOf(operation), operation]);
    }
    expect(() => decodeTxnRequest(new WireReader(message))).toThrow('etcdserver: too many operations in txn request');
  });

  it('never crash a decoder, however a message is damaged', () => {
    const random = new Random(7);
    const samples = new Samples(random);
    let refused = 0;
    for (let round = 0; round < 600; round++) {
      const bytes = encode('etcdserverpb.TxnRequest', samples.txn().plain);
      if (bytes.length === 0) continue;
      for (let hits = 1 + random.below(4); hits > 0; hits--) bytes[random.below(bytes.length)] = random.below(256);
      try {
        decodeTxnRequest(new WireReader(bytes.subarray(0, random.bool() ? bytes.length : random.below(bytes.length))));
      } catch (error) {
        expect((error as Error).name).toBe('GrpcError');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

function lengthOf(bytes: Buffer): Buffer {
  return bytes.length < 0x80 ? Buffer.from([bytes.length]) : Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7]);
}

import { once } from 'node:events';
import {
  CompactedError,
  encodeEvent,
  encodeKeyValue,
  frameRecord,
  StoppedError,
  UnknownOutcomeError,
  type KeyValue,
  type RangeRequest,
  type TxnRequest,
  type WatchMessage,
  BlockStream,
} from '@harikube/keyspace';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdServer, type EtcdServerOptions } from './etcd-server.js';
import { EtcdTransport } from './etcd-transport.js';
import { GrpcClient, type ClientCall, type Outcome } from './spec/grpc-client.js';
import { MemoryStore, type MemoryWatchStream } from './spec/memory-store.js';
import { decode, encode, readable, type PlainMessage } from './spec/protocol.js';
import { GrpcCode } from './wire/grpc-status.js';

const HEADER = { cluster_id: '18364758544493064720', member_id: '9223372036854775809', raft_term: '1' };

let store: MemoryStore;
let server: EtcdServer;
let grpc: GrpcClient;
const internal: unknown[] = [];

async function start(options: Partial<EtcdServerOptions> = {}): Promise<void> {
  store = new MemoryStore();
  server = new EtcdServer(store, { addresses: ['127.0.0.1:0'], onInternalError: (error) => internal.push(error.cause), ...options });
  await server.start();
  grpc = new GrpcClient(server.addresses[0] ?? '');
}

beforeEach(() => start());

afterEach(async () => {
  grpc.close();
  await server.close();
});

function header(revision: bigint): PlainMessage {
  return { ...HEADER, revision: `${revision}` };
}

function b(text: string): Buffer {
  return Buffer.from(text);
}

type Method = readonly [path: string, request: string, response: string];

const RANGE: Method = ['/etcdserverpb.KV/Range', 'etcdserverpb.RangeRequest', 'etcdserverpb.RangeResponse'];
const PUT: Method = ['/etcdserverpb.KV/Put', 'etcdserverpb.PutRequest', 'etcdserverpb.PutResponse'];
const DELETE: Method = ['/etcdserverpb.KV/DeleteRange', 'etcdserverpb.DeleteRangeRequest', 'etcdserverpb.DeleteRangeResponse'];
const TXN: Method = ['/etcdserverpb.KV/Txn', 'etcdserverpb.TxnRequest', 'etcdserverpb.TxnResponse'];
const COMPACT: Method = ['/etcdserverpb.KV/Compact', 'etcdserverpb.CompactionRequest', 'etcdserverpb.CompactionResponse'];
const GRANT: Method = ['/etcdserverpb.Lease/LeaseGrant', 'etcdserverpb.LeaseGrantRequest', 'etcdserverpb.LeaseGrantResponse'];
const REVOKE: Method = ['/etcdserverpb.Lease/LeaseRevoke', 'etcdserverpb.LeaseRevokeRequest', 'etcdserverpb.LeaseRevokeResponse'];
const TIME_TO_LIVE: Method = [
  '/etcdserverpb.Lease/LeaseTimeToLive',
  'etcdserverpb.LeaseTimeToLiveRequest',
  'etcdserverpb.LeaseTimeToLiveResponse',
];
const LEASES: Method = ['/etcdserverpb.Lease/LeaseLeases', 'etcdserverpb.LeaseLeasesRequest', 'etcdserverpb.LeaseLeasesResponse'];
const HASH: Method = ['/etcdserverpb.Maintenance/Hash', 'etcdserverpb.HashRequest', 'etcdserverpb.HashResponse'];
const HASH_KV: Method = ['/etcdserverpb.Maintenance/HashKV', 'etcdserverpb.HashKVRequest', 'etcdserverpb.HashKVResponse'];
const STATUS: Method = ['/etcdserverpb.Maintenance/Status', 'etcdserverpb.StatusRequest', 'etcdserverpb.StatusResponse'];
const ALARM: Method = ['/etcdserverpb.Maintenance/Alarm', 'etcdserverpb.AlarmRequest', 'etcdserverpb.AlarmResponse'];
const MEMBERS: Method = ['/etcdserverpb.Cluster/MemberList', 'etcdserverpb.MemberListRequest', 'etcdserverpb.MemberListResponse'];

function send([path, request]: Method, message: PlainMessage): Promise<Outcome> {
  return grpc.call(path, encode(request, message));
}

async function ask(method: Method, message: PlainMessage): Promise<PlainMessage> {
  const { code, text, messages } = await send(method, message);
  expect([code, text, messages.length]).toEqual([0, '', 1]);
  return decode(method[2], messages[0] ?? Buffer.alloc(0));
}

async function refusal(method: Method, message: PlainMessage): Promise<readonly [number, string]> {
  const { code, text } = await send(method, message);
  return [code, text];
}

/** A txn in whose success there is a txn, and so on; of each level there is one operation. */
function nestedDeep(depth: number): Buffer {
  let message: Buffer = Buffer.alloc(0);
  for (let level = 0; level < depth; level++) {
    const operation = field(4, message);
    message = field(2, operation);
  }
  return message;
}

function field(number: number, bytes: Buffer): Buffer {
  const head = [(number << 3) | 2];
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...head, rest]), bytes]);
}

function restOf(frames: readonly Buffer[]): BlockStream {
  let next = 0;
  return new BlockStream(
    async () => frames[next++] ?? null,
    async () => {},
  );
}

describe('KV', () => {
  it('puts, gets, lists and deletes', async () => {
    expect(await ask(PUT, { key: b('/a/1'), value: b('one'), prev_kv: true })).toEqual({ header: header(2n), prev_kv: null });
    await ask(PUT, { key: b('/a/2'), value: b('two'), lease: '9223372036854775807' });
    const again = await ask(PUT, { key: b('/a/1'), value: b('uno'), prev_kv: true });
    expect(again).toMatchObject({ header: header(4n), prev_kv: { value: b('one'), version: '1', mod_revision: '2' } });
    const list = await ask(RANGE, { key: b('/a/'), range_end: b('/a0') });
    expect(readable(list)).toEqual(
      readable({
        header: header(4n),
        kvs: [
          { key: b('/a/1'), value: b('uno'), create_revision: '2', mod_revision: '4', version: '2', lease: '0' },
          { key: b('/a/2'), value: b('two'), create_revision: '3', mod_revision: '3', version: '1', lease: '9223372036854775807' },
        ],
        more: false,
        count: '2',
      }),
    );
    expect(await ask(RANGE, { key: b('/a/'), range_end: b('/a0'), limit: 1 })).toMatchObject({
      more: true,
      count: '2',
      kvs: [{ key: b('/a/1') }],
    });
    expect(await ask(RANGE, { key: b('/a/'), range_end: b('/a0'), count_only: true })).toMatchObject({ kvs: [], count: '2' });
    expect(await ask(RANGE, { key: b('/'), range_end: b('\0'), keys_only: true })).toMatchObject({
      kvs: [{ value: b('') }, { value: b('') }],
    });
    expect(await ask(DELETE, { key: b('/a/1'), prev_kv: true })).toMatchObject({
      header: header(5n),
      deleted: '1',
      prev_kvs: [{ key: b('/a/1') }],
    });
    expect(await ask(DELETE, { key: b('/a/1') })).toEqual({ header: header(5n), deleted: '0', prev_kvs: [] });
  });

  it('answers the txns that Kubernetes sends', async () => {
    const create = { compare: [{ target: 2, key: b('k'), mod_revision: '0' }], success: [{ request_put: { key: b('k'), value: b('v') } }] };
    const created = await ask(TXN, create);
    expect(created).toMatchObject({ header: header(2n), succeeded: true, responses: [{ response: 'response_put' }] });
    expect(await ask(TXN, create)).toEqual({ header: header(2n), succeeded: false, responses: [] });
    const update = {
      compare: [{ target: 2, key: b('k'), mod_revision: '1' }],
      success: [{ request_delete_range: { key: b('k') } }],
      failure: [{ request_range: { key: b('k') } }],
    };
    expect(await ask(TXN, update)).toMatchObject({
      succeeded: false,
      responses: [{ response_range: { count: '1', header: { revision: '2' }, kvs: [{ key: b('k'), mod_revision: '2' }] } }],
    });
    update.compare = [{ target: 2, key: b('k'), mod_revision: '2' }];
    expect(await ask(TXN, update)).toMatchObject({
      header: header(3n),
      succeeded: true,
      responses: [{ response_delete_range: { deleted: '1' } }],
    });
  });

  it('passes what was asked on to the store', async () => {
    const seen: RangeRequest[] = [];
    store.rangeAnswer = async (request) => {
      seen.push(request);
      return { revision: 1n, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    };
    await ask(RANGE, { key: b('a'), revision: '-5', limit: '-1', serializable: true });
    await ask(RANGE, { key: b('a'), range_end: b('\0'), revision: '7', limit: '9223372036854775807', sort_order: 1 });
    await ask(RANGE, { key: b('b'), range_end: b('a') });
    expect(seen).toMatchObject([
      { range: { start: b('a'), single: true }, revision: 0n, limit: 0 },
      { range: { start: b('a'), end: null, single: false }, revision: 7n, limit: Number.MAX_SAFE_INTEGER },
      { range: { start: b('b'), end: b('a'), single: false } },
    ]);
  });

  const range = (fields: PlainMessage): PlainMessage => ({ key: b('k'), range_end: b('l'), ...fields });
  const put = (key: string): PlainMessage => ({ request_put: { key: b(key) } });
  const remove = (key: string, end = ''): PlainMessage => ({ request_delete_range: { key: b(key), range_end: b(end) } });
  const many = (count: number): PlainMessage[] => Array.from({ length: count }, (_, i) => put(`k${i}`));
  const invalid = GrpcCode.InvalidArgument;
  const inner = (success: readonly PlainMessage[], failure: readonly PlainMessage[] = []): PlainMessage => ({
    request_txn: { success, failure },
  });
  const manyTxns = (txns: number, operations: number): PlainMessage[] => Array.from({ length: txns }, () => inner(many(operations)));

  it.each<readonly [string, Method, PlainMessage, number, string]>([
    ['a range without a key', RANGE, { range_end: b('x') }, invalid, 'key is not provided'],
    ['a put without a key', PUT, { value: b('x') }, invalid, 'key is not provided'],
    ['a delete without a key', DELETE, {}, invalid, 'key is not provided'],
    ['a compare without a key', TXN, { compare: [{}] }, invalid, 'key is not provided'],
    ['an operation without a key', TXN, { failure: [put('')] }, invalid, 'key is not provided'],
    ['an empty operation', TXN, { success: [{}] }, invalid, 'key not found'],
    ['a value beside ignore_value', PUT, { key: b('k'), value: b('v'), ignore_value: true }, invalid, 'value is provided'],
    ['a lease beside ignore_lease', PUT, { key: b('k'), lease: 1, ignore_lease: true }, invalid, 'lease is provided'],
    ['an unknown sort order', RANGE, range({ sort_order: 3 }), invalid, 'invalid sort option'],
    ['an unknown sort target', RANGE, range({ sort_target: 5 }), invalid, 'invalid sort option'],
    ['129 operations', TXN, { success: many(129) }, invalid, 'too many operations in txn request'],
    ['more nested operations than the budget leaves', TXN, nested(100, 29), invalid, 'too many operations in txn request'],
    ['the same put twice', TXN, { success: [put('a'), put('a')] }, invalid, 'duplicate key given in txn request'],
    ['a put inside a delete', TXN, { failure: [put('b'), remove('a', 'c')] }, invalid, 'duplicate key given in txn request'],
    ['a put of a deleted key', TXN, { success: [remove('b'), put('b')] }, invalid, 'duplicate key given in txn request'],
    ['a put behind a delete without end', TXN, { success: [remove('b', '\0'), put('z')] }, invalid, 'duplicate key given in txn request'],
    ['an unknown compare result', TXN, { compare: [{ key: b('k'), result: 4 }] }, invalid, 'compare result 4 is not supported'],
    ['an unknown compare target', TXN, { compare: [{ key: b('k'), target: 5 }] }, invalid, 'compare target 5 is not supported'],
    ['an unknown sort order inside a txn', TXN, { success: [{ request_range: range({ sort_order: 3 }) }] }, invalid, 'invalid sort option'],
    ['4097 operations in all', TXN, { success: manyTxns(33, 127) }, invalid, 'too many operations in txn request'],
    ['the same put inside and outside', TXN, { success: [inner([put('a')]), put('a')] }, invalid, 'duplicate key given in txn request'],
    [
      'the same put inside two txns',
      TXN,
      { success: [inner([put('a')]), inner([], [put('a')])] },
      invalid,
      'duplicate key given in txn request',
    ],
    [
      'a put inside of what is deleted outside',
      TXN,
      { failure: [inner([put('b')]), remove('a', 'c')] },
      invalid,
      'duplicate key given in txn request',
    ],
    [
      'a put outside of what is deleted inside',
      TXN,
      { failure: [inner([], [remove('a', 'c')]), put('b')] },
      invalid,
      'duplicate key given in txn request',
    ],
    [
      'a put inside before a delete inside',
      TXN,
      { success: [inner([put('b')]), inner([remove('b')])] },
      invalid,
      'duplicate key given in txn request',
    ],
    [
      'the same put twice deep inside',
      TXN,
      { success: [inner([inner([put('a'), put('a')])])] },
      invalid,
      'duplicate key given in txn request',
    ],
  ])('refuses %s', async (_name, method, message, code, text) => {
    expect(await refusal(method, message)).toEqual([code, `etcdserver: ${text}`]);
    expect(store.revision).toBe(1n);
  });

  function nested(outer: number, inner: number): PlainMessage {
    return { success: [...many(outer - 1), { request_txn: { success: many(inner) } }] };
  }

  it('takes 128 operations, overlapping deletes, and the same key in both branches', async () => {
    expect(await ask(TXN, { success: many(128), failure: many(128) })).toMatchObject({ succeeded: true });
    expect(await ask(TXN, { success: [remove('a', 'c'), remove('b'), put('c')] })).toMatchObject({ succeeded: true });
  });

  it('takes txns inside txns, with the same key where they exclude each other', async () => {
    let seen: TxnRequest | null = null;
    store.txnAnswer = async (request) => {
      seen = request;
      return { type: 'txn', revision: 7n, succeeded: true, responses: [] };
    };
    await ask(TXN, { success: [inner([put('a'), remove('b')], [put('a'), remove('c')]), inner([put('d')]), remove('b', 'd')] });
    expect(seen).toMatchObject({
      success: [{ type: 'txn', success: [{ type: 'put' }, { type: 'delete' }] }, { type: 'txn', failure: [] }, { type: 'delete' }],
    });
    await ask(TXN, { compare: [{ key: b('a'), range_end: b('c'), target: 1, create_revision: '5', result: 1 }] });
    expect(seen).toMatchObject({ compares: [{ range: { end: b('c'), single: false }, target: 'create', result: 'greater', number: 5n }] });
  });

  it('takes txns as deep as 128 operations go', async () => {
    store.txnAnswer = async () => ({ type: 'txn', revision: 7n, succeeded: true, responses: [] });
    expect((await grpc.call(TXN[0], nestedDeep(128))).code).toBe(0);
    const { code, text } = await grpc.call(TXN[0], nestedDeep(129));
    expect([code, text]).toEqual([invalid, 'etcdserver: too many operations in txn request']);
  });

  it('passes on how a range is sorted and filtered, where that changes anything', async () => {
    const seen: RangeRequest[] = [];
    store.rangeAnswer = async (request) => {
      seen.push(request);
      return { revision: 1n, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    };
    const none = { minModRevision: 0n, maxModRevision: 0n, minCreateRevision: 0n, maxCreateRevision: 0n };
    for (const fields of [{ sort_order: 1 }, { sort_order: 2 }, { sort_target: 1 }, { sort_target: 4, sort_order: 1 }])
      await ask(RANGE, range(fields));
    await ask(RANGE, range({ min_mod_revision: 1, max_mod_revision: 2, min_create_revision: 3, max_create_revision: '-4' }));
    expect(seen.map(({ selection }) => selection)).toEqual([
      undefined,
      { target: 'key', order: 'descend', ...none },
      { target: 'version', order: 'none', ...none },
      { target: 'value', order: 'ascend', ...none },
      { target: 'key', order: 'none', minModRevision: 1n, maxModRevision: 2n, minCreateRevision: 3n, maxCreateRevision: -4n },
    ]);
  });

  it('refuses a write above 1.5 MiB, after the checks of its fields', async () => {
    const value = Buffer.alloc(1.5 * 1024 * 1024);
    expect(await refusal(PUT, { key: b('k'), value })).toEqual([invalid, 'etcdserver: request is too large']);
    expect(await refusal(PUT, { value })).toEqual([invalid, 'etcdserver: key is not provided']);
    expect(await refusal(TXN, { success: [{ request_put: { key: b('k'), value } }] })).toEqual([
      invalid,
      'etcdserver: request is too large',
    ]);
    await ask(PUT, { key: b('k'), value: value.subarray(100) });
  });

  it('tells a write of unknown outcome in the words after which no client tries again by itself', async () => {
    store.beforeWrite = () => Promise.reject(new UnknownOutcomeError('main'));
    for (const method of [PUT, DELETE]) {
      expect(await refusal(method, { key: b('k') })).toEqual([GrpcCode.Unavailable, 'etcdserver: request timed out']);
    }
    expect(await refusal(TXN, {})).toEqual([GrpcCode.Unavailable, 'etcdserver: request timed out']);
  });

  it('hides an error that nobody expects and tells it to the operator', async () => {
    store.beforeWrite = () => Promise.reject(new TypeError('secret'));
    expect(await refusal(COMPACT, { revision: 1 })).toEqual([GrpcCode.Internal, 'etcdserver: internal error']);
    expect(internal.at(-1)).toMatchObject({ message: 'secret' });
  });

  it('answers a malformed request with INTERNAL and goes on', async () => {
    for (const path of [RANGE[0], PUT[0], DELETE[0], TXN[0], COMPACT[0], GRANT[0], REVOKE[0], ALARM[0]]) {
      const { code, text } = await grpc.call(path, Buffer.from([0x0a, 0xff, 0xff]));
      expect([path, code, text.slice(0, 25)]).toEqual([path, GrpcCode.Internal, 'malformed request message']);
    }
    await ask(PUT, { key: b('k') });
  });

  it('compacts', async () => {
    expect(await ask(COMPACT, { revision: 1 })).toEqual({ header: header(1n) });
    store.beforeWrite = () => Promise.reject(new CompactedError(1n));
    expect(await refusal(COMPACT, { revision: 1 })).toEqual([
      GrpcCode.OutOfRange,
      'etcdserver: mvcc: required revision has been compacted',
    ]);
  });

  it('sends a list in parts whose first were there at once and whose rest is read on', async () => {
    const kv = (i: number): KeyValue => ({
      key: b(`/k/${String(i).padStart(5, '0')}`),
      value: Buffer.alloc(1000, i),
      createRevision: 1n,
      modRevision: 2n,
      version: 1n,
      lease: 0n,
    });
    const frames = Array.from({ length: 500 }, (_, i) => frameRecord(encodeKeyValue(kv(i))));
    store.rangeAnswer = async () => ({
      revision: 77n,
      count: 9999,
      more: true,
      records: 500,
      bytes: frames.reduce((sum, frame) => sum + frame.length, 0),
      blocks: frames.slice(0, 100),
      rest: restOf(frames.slice(100)),
    });
    const list = await ask(RANGE, { key: b('/k/'), range_end: b('/k0'), limit: 500 });
    expect(list).toMatchObject({ header: header(77n), more: true, count: '9999' });
    expect((list['kvs'] as PlainMessage[]).map((record) => String(record['key']))).toEqual(frames.map((_, i) => String(kv(i).key)));
  });

  it('refuses a list that is larger than a message of gRPC may be, and gives its rest back', async () => {
    let isGivenBack = false;
    store.rangeAnswer = async () => ({
      revision: 1n,
      count: 1,
      more: false,
      records: 1,
      bytes: 2 ** 31,
      blocks: [],
      rest: new BlockStream(
        async () => null,
        async () => void (isGivenBack = true),
      ),
    });
    expect(await refusal(RANGE, { key: b('k') })).toEqual([
      GrpcCode.ResourceExhausted,
      'grpc: trying to send message larger than max (2147483648 vs. 2147483647)',
    ]);
    expect(isGivenBack).toBe(true);
  });
});

describe('KV.RangeStream', () => {
  const PATH = '/etcdserverpb.KV/RangeStream';

  async function stream(
    message: PlainMessage,
  ): Promise<{ readonly code: number; readonly text: string; readonly parts: readonly PlainMessage[] }> {
    const { code, text, messages } = await grpc.call(PATH, encode('etcdserverpb.RangeRequest', message));
    const parts = messages.map((part) => decode('etcdserverpb.RangeStreamResponse', part)['range_response'] as PlainMessage);
    return { code, text, parts };
  }

  it('sends disjoint records, and header, more and count on the last message only', async () => {
    for (let i = 0; i < 45; i++) await ask(PUT, { key: b(`/k/${String(i).padStart(3, '0')}`), value: b('v') });
    const { code, parts } = await stream({ key: b('/k/'), range_end: b('/k0') });
    expect(code).toBe(0);
    expect(parts.map((part) => (part['kvs'] as unknown[]).length)).toEqual([10, 20, 15]);
    expect(parts.map((part) => [part['header'] !== null, part['count'], part['more']])).toEqual([
      [false, '0', false],
      [false, '0', false],
      [true, '45', false],
    ]);
    expect(parts.at(-1)?.['header']).toEqual(header(46n));
    const keys = parts.flatMap((part) => (part['kvs'] as PlainMessage[]).map((kv) => String(kv['key'])));
    expect(keys).toEqual(Array.from({ length: 45 }, (_, i) => `/k/${String(i).padStart(3, '0')}`));
  });

  it('sends one message for a count and for an empty range', async () => {
    await ask(PUT, { key: b('k') });
    expect((await stream({ key: b('k'), count_only: true })).parts).toEqual([{ header: header(2n), kvs: [], more: false, count: '1' }]);
    expect((await stream({ key: b('x'), range_end: b('z') })).parts).toEqual([{ header: header(2n), kvs: [], more: false, count: '0' }]);
  });

  it('ends with the error of the store', async () => {
    store.rangeAnswer = () => Promise.reject(new CompactedError(5n));
    const { code, text } = await stream({ key: b('k') });
    expect([code, text]).toEqual([GrpcCode.OutOfRange, 'etcdserver: mvcc: required revision has been compacted']);
  });

  it.each([{ sort_order: 1 }, { sort_target: 2 }, { min_mod_revision: 1 }, { max_create_revision: 1 }])(
    'answers %o with UNIMPLEMENTED',
    async (fields) => {
      expect((await stream({ key: b('k'), ...fields })).code).toBe(GrpcCode.Unimplemented);
    },
  );

  it('gives the rest back when the client goes away', async () => {
    let giveBack = (): void => {};
    const givenBack = new Promise<void>((resolve) => (giveBack = resolve));
    const block = frameRecord(
      encodeKeyValue({ key: b('k'), value: Buffer.alloc(100_000), createRevision: 1n, modRevision: 1n, version: 1n, lease: 0n }),
    );
    let read = 0;
    store.rangeAnswer = async () => ({
      revision: 1n,
      count: 10_000,
      more: false,
      records: 10_000,
      bytes: 10_000 * block.length,
      blocks: [],
      rest: new BlockStream(
        async () => (read++ < 10_000 ? block : null),
        async () => giveBack(),
      ),
    });
    const call = grpc.open(PATH);
    call.send(encode('etcdserverpb.RangeRequest', { key: b('k'), range_end: b('l') }));
    await call.next();
    call.stream.pause();
    call.stream.close(8);
    await givenBack;
    expect(read).toBeLessThan(5000);
  });
});

describe('Watch', () => {
  function open(headers: Record<string, string> = {}): ClientCall {
    return grpc.open('/etcdserverpb.Watch/Watch', headers);
  }

  function write(call: ClientCall, message: PlainMessage): void {
    call.send(encode('etcdserverpb.WatchRequest', message));
  }

  async function next(call: ClientCall): Promise<PlainMessage> {
    return decode('etcdserverpb.WatchResponse', await call.next());
  }

  function create(call: ClientCall, fields: PlainMessage): void {
    write(call, { create_request: fields });
  }

  async function streamOf(call: ClientCall): Promise<MemoryWatchStream> {
    create(call, { key: b('first') });
    await next(call);
    const [stream] = store.streams;
    if (stream === undefined) throw new Error('the store was asked for no stream');
    return stream;
  }

  it('serves several watches on one stream', async () => {
    const call = open({ hasleader: 'true' });
    create(call, { key: b('/a/'), range_end: b('/a0'), prev_kv: true });
    create(call, { key: b('/b/'), range_end: b('/b0'), watch_id: 7, filters: [0] });
    expect(await next(call)).toMatchObject({ header: header(1n), watch_id: '0', created: true, canceled: false, events: [] });
    expect(await next(call)).toMatchObject({ watch_id: '7', created: true });
    await ask(PUT, { key: b('/a/1'), value: b('v') });
    await ask(PUT, { key: b('/a/1'), value: b('w') });
    await ask(PUT, { key: b('/b/1'), value: b('x') });
    await ask(DELETE, { key: b('/b/1') });
    expect(await next(call)).toMatchObject({
      header: header(2n),
      watch_id: '0',
      events: [{ type: 0, kv: { value: b('v') }, prev_kv: null }],
    });
    expect(await next(call)).toMatchObject({
      header: header(3n),
      events: [{ type: 0, kv: { value: b('w') }, prev_kv: { value: b('v') } }],
    });
    expect(await next(call)).toMatchObject({
      watch_id: '7',
      events: [{ type: 1, kv: { key: b('/b/1'), mod_revision: '5', create_revision: '0', version: '0', value: b('') } }],
    });
    write(call, { progress_request: {} });
    expect(await next(call)).toMatchObject({ header: header(5n), watch_id: '-1', created: false, events: [] });
    write(call, { cancel_request: { watch_id: 7 } });
    expect(await next(call)).toMatchObject({ watch_id: '7', canceled: true, created: false, cancel_reason: '' });
    call.stream.end();
    expect((await call.outcome).code).toBe(0);
  });

  it('passes what was asked on to the store', async () => {
    const call = open();
    create(call, { start_revision: 5, progress_notify: true, filters: [1, 0], range_end: b('\0') });
    await next(call);
    const [stream] = store.streams;
    expect([...(stream?.watches.values() ?? [])]).toEqual([
      {
        range: { start: b('\0'), end: null, single: false },
        startRevision: 5n,
        progressNotify: true,
        prevKv: false,
        noPut: true,
        noDelete: true,
        watchId: 0n,
      },
    ]);
  });

  it('refuses a creation in its turn', async () => {
    const call = open();
    const stream = await streamOf(call);
    const waiting: WatchMessage[] = [];
    stream.create = (request) => waiting.push({ type: 'created', watchId: 100n + BigInt(waiting.length), revision: request.startRevision });
    create(call, { key: b('a'), start_revision: 11 });
    create(call, { key: b('b'), range_end: b('a') });
    create(call, { key: b('c'), start_revision: -1 });
    create(call, { key: b('d'), start_revision: 12 });
    write(call, { progress_request: {} });
    expect(await next(call)).toMatchObject({ watch_id: '-1', created: false });
    for (const message of waiting) stream.sink.send(message);
    expect(await next(call)).toMatchObject({ watch_id: '100', created: true, canceled: false });
    expect(await next(call)).toMatchObject({
      header: header(1n),
      watch_id: '-1',
      created: true,
      canceled: true,
      cancel_reason: 'mvcc: watcher range is empty',
    });
    expect(await next(call)).toMatchObject({
      watch_id: '-1',
      created: true,
      canceled: true,
      cancel_reason: 'etcdserver: mvcc: required revision has been compacted',
    });
    expect(await next(call)).toMatchObject({ watch_id: '101', created: true, canceled: false });
  });

  it('tells a watch that fell behind the compaction where it stands', async () => {
    const call = open();
    const stream = await streamOf(call);
    stream.sink.send({ type: 'canceled', watchId: 0n, revision: 9n, compactRevision: 8n, reason: '', refused: false });
    expect(await next(call)).toMatchObject({ header: header(9n), watch_id: '0', canceled: true, created: false, compact_revision: '8' });
  });

  it('cuts a large message into fragments where the client asked for it, and never where not', async () => {
    const record = (i: number): Buffer =>
      encodeKeyValue({ key: b(`k${i}`), value: Buffer.alloc(400_000, i), createRevision: 5n, modRevision: 5n, version: 1n, lease: 0n });
    const events = Array.from({ length: 9 }, (_, i) => encodeEvent(false, record(i), null));
    const call = open();
    create(call, { key: b('k'), range_end: b('l'), fragment: true });
    create(call, { key: b('k'), range_end: b('l') });
    await next(call);
    await next(call);
    const [stream] = store.streams;
    stream?.sink.send({ type: 'events', watchId: 0n, revision: 5n, events });
    stream?.sink.send({ type: 'events', watchId: 1n, revision: 5n, events });
    const parts = [await next(call), await next(call), await next(call)];
    expect(parts.map((part) => [part['watch_id'], part['fragment'], (part['events'] as unknown[]).length])).toEqual([
      ['0', true, 3],
      ['0', true, 3],
      ['0', false, 3],
    ]);
    const keys = parts.flatMap((part) => (part['events'] as { kv: { key: Buffer } }[]).map((event) => String(event.kv.key)));
    expect(keys).toEqual(events.map((_, i) => `k${i}`));
    const whole = await next(call);
    expect([whole['watch_id'], whole['fragment'], (whole['events'] as unknown[]).length]).toEqual(['1', false, 9]);
  });

  it('tells the store when a client reads too slowly and when it has caught up', async () => {
    const call = open();
    const stream = await streamOf(call);
    call.stream.pause();
    const events = [
      encodeEvent(
        false,
        encodeKeyValue({ key: b('k'), value: Buffer.alloc(100_000), createRevision: 1n, modRevision: 1n, version: 1n, lease: 0n }),
        null,
      ),
    ];
    let sent = 0;
    do {
      sent++;
      await new Promise((resolve) => setImmediate(resolve));
    } while (stream.sink.send({ type: 'events', watchId: 0n, revision: 1n, events }));
    expect(sent).toBeLessThan(100);
    expect(stream.drains).toBe(0);
    call.stream.resume();
    for (let i = 0; i < sent; i++) await call.next();
    stream.sink.send({ type: 'progress', watchId: -1n, revision: 5n });
    expect(await next(call)).toMatchObject({ watch_id: '-1' });
    expect(stream.drains).toBe(1);
  });

  it('closes the store’s stream when the client resets it', async () => {
    const call = open();
    const stream = await streamOf(call);
    const closed = new Promise<void>((resolve) => {
      const close = stream.close.bind(stream);
      stream.close = () => {
        close();
        resolve();
      };
    });
    call.stream.close(8);
    await closed;
    expect(store.streams.size).toBe(0);
  });

  it('ends with the store’s error, after which clients resume elsewhere', async () => {
    const call = open();
    const stream = await streamOf(call);
    stream.sink.fail(new StoppedError());
    expect(await call.outcome).toMatchObject({ code: GrpcCode.Unavailable, text: 'etcdserver: server stopped' });
    expect(stream.isClosed).toBe(true);
  });

  it('ends with INTERNAL when the client sends nonsense', async () => {
    const call = open();
    const stream = await streamOf(call);
    call.send(Buffer.from([0x0a, 0x7f]));
    expect((await call.outcome).code).toBe(GrpcCode.Internal);
    expect(stream.isClosed).toBe(true);
  });

  it('does nothing about a request without a member', async () => {
    const call = open();
    write(call, {});
    create(call, { key: b('k') });
    expect(await next(call)).toMatchObject({ created: true });
  });
});

describe('Lease', () => {
  it('grants, keeps alive in order, and revokes', async () => {
    const granted = await ask(GRANT, { TTL: 60 });
    expect(granted).toEqual({ header: header(1n), ID: '9223372032559808512', TTL: '60', error: '' });
    const call = grpc.open('/etcdserverpb.Lease/LeaseKeepAlive');
    for (const id of [granted['ID'], '5', granted['ID']]) call.send(encode('etcdserverpb.LeaseKeepAliveRequest', { ID: id }));
    call.stream.end();
    const { code, messages } = await call.outcome;
    expect(code).toBe(0);
    expect(messages.map((message) => decode('etcdserverpb.LeaseKeepAliveResponse', message))).toEqual([
      { header: header(1n), ID: granted['ID'], TTL: '60' },
      { header: header(1n), ID: '5', TTL: '0' },
      { header: header(1n), ID: granted['ID'], TTL: '60' },
    ]);
    expect(await ask(REVOKE, { ID: granted['ID'] })).toEqual({ header: header(1n) });
    expect(store.grants.size).toBe(0);
  });

  it('tells what is left of a lease, with its keys when they are asked for, and which leases there are', async () => {
    await ask(GRANT, { TTL: 60, ID: '5' });
    await ask(GRANT, { TTL: 70, ID: '6' });
    for (const key of ['b', 'a']) await ask(PUT, { key: b(key), lease: '5' });
    expect(await ask(TIME_TO_LIVE, { ID: '5' })).toEqual({ header: header(3n), ID: '5', TTL: '59', grantedTTL: '60', keys: [] });
    expect(await ask(TIME_TO_LIVE, { ID: '5', keys: true })).toMatchObject({ keys: [b('a'), b('b')] });
    expect(await ask(TIME_TO_LIVE, { ID: '7', keys: true })).toEqual({ header: header(3n), ID: '7', TTL: '-1', grantedTTL: '0', keys: [] });
    expect(await ask(LEASES, {})).toEqual({ header: header(3n), leases: [{ ID: '5' }, { ID: '6' }] });
  });

  it('refuses a TTL that etcd refuses', async () => {
    expect(await refusal(GRANT, { TTL: '9000000001' })).toEqual([GrpcCode.OutOfRange, 'etcdserver: too large lease TTL']);
    expect(await ask(GRANT, { TTL: '9000000000', ID: '1' })).toMatchObject({ ID: '1' });
  });
});

describe('Maintenance, Cluster, Auth', () => {
  it('tells a status that tools accept', async () => {
    expect(await ask(STATUS, {})).toMatchObject({
      header: header(1n),
      version: '3.6.8',
      storageVersion: '3.6.0',
      dbSize: '8192',
      dbSizeInUse: '4096',
      leader: HEADER.member_id,
      raftIndex: '1',
      raftAppliedIndex: '1',
    });
  });

  it('tells the version that it is told to tell, and refuses one that clients could not read', async () => {
    grpc.close();
    await server.close();
    await start({ emulatedVersion: '3.5.21' });
    expect(await ask(STATUS, {})).toMatchObject({ version: '3.5.21', storageVersion: '3.5.0' });
    expect(() => new EtcdServer(store, { addresses: [], emulatedVersion: 'latest' })).toThrow(
      'invalid etcd version "latest": expected major.minor.patch',
    );
  });

  it('tells hashes, and defragments nothing', async () => {
    expect(await ask(HASH, {})).toEqual({ header: header(1n), hash: 0xfedc_ba98 });
    const told = { header: header(1n), hash: 0xfedc_ba98, compact_revision: '-1' };
    expect(await ask(HASH_KV, { revision: '7' })).toEqual({ ...told, hash_revision: '7' });
    expect(await ask(HASH_KV, {})).toEqual({ ...told, hash_revision: '1' });
    const { code, messages } = await grpc.call('/etcdserverpb.Maintenance/Defragment', Buffer.alloc(0));
    expect([code, messages.map((message) => message.length)]).toEqual([0, [0]]);
  });

  it('has no alarm, and refuses to set one', async () => {
    expect(await ask(ALARM, {})).toEqual({ header: header(1n), alarms: [] });
    expect(await refusal(ALARM, { action: 1 })).toEqual([
      GrpcCode.Unimplemented,
      'etcdserver: action ACTIVATE of an alarm request is not supported',
    ]);
    expect(await ask(ALARM, { action: 2, alarm: 1 })).toEqual({ header: header(1n), alarms: [] });
  });

  it('lists one named member at the addresses it listens on, or at those advertised', async () => {
    expect(await ask(MEMBERS, {})).toMatchObject({
      header: header(0n),
      members: [{ ID: HEADER.member_id, name: 'harikube', clientURLs: [...server.addresses] }],
    });
    grpc.close();
    await server.close();
    await start({ advertisedClientUrls: ['https://etcd.example:2379'], memberName: 'one' });
    expect(await ask(MEMBERS, {})).toMatchObject({ members: [{ name: 'one', clientURLs: ['https://etcd.example:2379'] }] });
  });

  it.each([
    ...['Snapshot', 'MoveLeader', 'Downgrade'].map((name) => ['Maintenance', name] as const),
    ...['MemberAdd', 'MemberRemove', 'MemberUpdate', 'MemberPromote'].map((name) => ['Cluster', name] as const),
  ])('refuses %s.%s by its name', async (service, name) => {
    const { code, text } = await grpc.call(`/etcdserverpb.${service}/${name}`, Buffer.alloc(0));
    expect([code, text]).toEqual([GrpcCode.Unimplemented, `etcdserver: ${name} is not supported`]);
  });

  it('tells clients with a password that there is no authentication', async () => {
    const { code, text } = await grpc.call('/etcdserverpb.Auth/Authenticate', Buffer.alloc(0));
    expect([code, text]).toEqual([GrpcCode.FailedPrecondition, 'etcdserver: authentication is not enabled']);
  });
});

describe('grpc.health.v1', () => {
  const check = (service: string): Promise<Outcome> =>
    grpc.call('/grpc.health.v1.Health/Check', encode('grpc.health.v1.HealthCheckRequest', { service }));

  it('answers for the whole server and for no other service', async () => {
    expect((await check('')).messages).toEqual([Buffer.from([8, 1])]);
    server.health.setServing(false);
    expect((await check('')).messages).toEqual([Buffer.from([8, 2])]);
    expect(await check('other')).toMatchObject({ code: GrpcCode.NotFound });
    const list = await grpc.call('/grpc.health.v1.Health/List', Buffer.alloc(0));
    expect(decode('grpc.health.v1.HealthListResponse', list.messages[0] ?? Buffer.alloc(0))).toEqual({ statuses: { '': { status: 2 } } });
  });

  it('tells watchers of every change', async () => {
    const call = grpc.open('/grpc.health.v1.Health/Watch');
    call.stream.end(Buffer.from([0, 0, 0, 0, 0]));
    expect(await call.next()).toEqual(Buffer.from([8, 1]));
    server.health.setServing(true);
    server.health.setServing(false);
    server.health.setServing(true);
    expect([await call.next(), await call.next()]).toEqual([Buffer.from([8, 2]), Buffer.from([8, 1])]);
    const other = grpc.open('/grpc.health.v1.Health/Watch');
    other.send(encode('grpc.health.v1.HealthCheckRequest', { service: 'x' }));
    expect(await other.next()).toEqual(Buffer.from([8, 3]));
  });
});

describe('EtcdTransport', () => {
  it('listens and closes as Nest asks, and tells Nest why it cannot', async () => {
    const transport = new EtcdTransport(new EtcdServer(store, { addresses: ['127.0.0.1:0'] }));
    expect(await new Promise<unknown>((resolve) => transport.listen(resolve))).toBeUndefined();
    const busy = new EtcdTransport(new EtcdServer(store, { addresses: [(server.addresses[0] ?? '').replace('http://', '')] }));
    const failure = await new Promise<unknown>((resolve) => busy.listen(resolve));
    expect(failure).toMatchObject({ code: 'EADDRINUSE' });
    await transport.close();
  });

  it('ends watches so that clients resume, within its grace', async () => {
    const call = grpc.open('/etcdserverpb.Watch/Watch');
    call.send(encode('etcdserverpb.WatchRequest', { create_request: { key: b('k') } }));
    await call.next();
    const gone = once(grpc.session, 'close');
    await server.close();
    expect(await call.outcome).toMatchObject({ code: GrpcCode.Unavailable, text: 'etcdserver: server stopped' });
    await gone;
  });
});

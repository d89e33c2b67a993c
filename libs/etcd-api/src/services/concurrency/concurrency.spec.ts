import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EtcdServer } from '../../etcd-server.js';
import { GrpcClient, type ClientCall } from '../../spec/grpc-client.js';
import { MemoryStore } from '../../spec/memory-store.js';
import { decode, encode, type PlainMessage } from '../../spec/protocol.js';
import { GrpcCode } from '../../wire/grpc-status.js';

let store: MemoryStore;
let server: EtcdServer;
let grpc: GrpcClient;
const internal: unknown[] = [];

beforeEach(async () => {
  internal.length = 0;
  store = new MemoryStore();
  server = new EtcdServer(store, { addresses: ['127.0.0.1:0'], onInternalError: (error) => internal.push(error.cause) });
  await server.start();
  grpc = new GrpcClient(server.addresses[0] ?? '');
});

afterEach(async () => {
  grpc.close();
  await server.close();
  expect(internal).toEqual([]);
});

function b(text: string): Buffer {
  return Buffer.from(text);
}

function open(path: string, type: string, message: PlainMessage): ClientCall {
  const call = grpc.open(path);
  call.send(encode(type, message));
  call.stream.end();
  return call;
}

async function answer(call: ClientCall, type: string): Promise<PlainMessage> {
  const { code, text, messages } = await call.outcome;
  expect([code, text]).toEqual([0, '']);
  return decode(type, messages[0] ?? Buffer.alloc(0));
}

async function refusal(call: ClientCall): Promise<readonly [number, string]> {
  const { code, text } = await call.outcome;
  return [code, text];
}

const startLock = (name: string, lease: string): ClientCall =>
  open('/v3lockpb.Lock/Lock', 'v3lockpb.LockRequest', { name: b(name), lease });
const lock = (name: string, lease: string): Promise<PlainMessage> => answer(startLock(name, lease), 'v3lockpb.LockResponse');
const unlock = (key: unknown): Promise<PlainMessage> =>
  answer(open('/v3lockpb.Lock/Unlock', 'v3lockpb.UnlockRequest', { key }), 'v3lockpb.UnlockResponse');

function keys(): Promise<string[]> {
  return store
    .range({ type: 'range', range: { start: b('\0'), end: null, single: false }, limit: 0, revision: 0n, keysOnly: false, countOnly: true })
    .then(async ({ count }) => [String(count)]);
}

/** Resolves when somebody waits in line by a watch. */
async function untilWaiting(waiters: number): Promise<void> {
  while (store.streams.size < waiters) await new Promise((resolve) => setImmediate(resolve));
}

describe('v3lock', () => {
  it('gives a lock to who asks first, under a key of its lease', async () => {
    expect(await lock('l', '255')).toMatchObject({ header: { revision: '2' }, key: b('l/ff') });
    expect(await lock('l', '255')).toMatchObject({ header: { revision: '2' }, key: b('l/ff') });
    expect(await unlock(b('l/ff'))).toMatchObject({ header: { revision: '3' } });
  });

  it('gives it a lease of a minute when it brings none', async () => {
    const { key } = await lock('l', '0');
    expect([...store.grants]).toEqual([[0x7fff_ffff_0000_0000n, 60n]]);
    expect(String(key)).toBe('l/7fffffff00000000');
  });

  it('passes from one to the next in the order of asking', async () => {
    const first = await lock('l', '1');
    const second = startLock('l', '2');
    await untilWaiting(1);
    const third = startLock('l', '3');
    await untilWaiting(2);
    await unlock(first['key']);
    expect(await answer(second, 'v3lockpb.LockResponse')).toMatchObject({ key: b('l/2') });
    await unlock(b('l/2'));
    expect(await answer(third, 'v3lockpb.LockResponse')).toMatchObject({ key: b('l/3') });
    expect(store.streams.size).toBe(0);
  });

  it('is held up by nobody who has gone away', async () => {
    await lock('l', '1');
    const second = startLock('l', '2');
    await untilWaiting(1);
    second.stream.close(8);
    while (store.streams.size > 0) await new Promise((resolve) => setImmediate(resolve));
    await unlock(b('l/1'));
    expect(await lock('l', '3')).toMatchObject({ key: b('l/3') });
  });

  it('is refused when the session has ended before its turn', async () => {
    await lock('l', '1');
    const second = startLock('l', '2');
    await untilWaiting(1);
    await unlock(b('l/2'));
    await unlock(b('l/1'));
    expect(await refusal(second)).toEqual([GrpcCode.Unknown, 'mutex: session is expired']);
  });

  it('sends those away who wait when the server closes', async () => {
    await lock('l', '1');
    const second = startLock('l', '2');
    await untilWaiting(1);
    const closing = server.close();
    expect(await refusal(second)).toEqual([GrpcCode.Unavailable, 'etcdserver: server stopped']);
    grpc.close();
    await closing;
    expect(await keys()).toEqual(['1']);
  });

  it('passes on what the store refuses as a text without a code', async () => {
    expect(await refusal(open('/v3lockpb.Lock/Unlock', 'v3lockpb.UnlockRequest', {}))).toEqual([
      GrpcCode.Unknown,
      'etcdserver: key is not provided',
    ]);
  });
});

describe('v3election', () => {
  const startCampaign = (lease: string, value: string): ClientCall =>
    open('/v3electionpb.Election/Campaign', 'v3electionpb.CampaignRequest', { name: b('e'), lease, value: b(value) });
  const campaign = async (lease: string, value: string): Promise<PlainMessage> =>
    (await answer(startCampaign(lease, value), 'v3electionpb.CampaignResponse'))['leader'] as PlainMessage;
  const startProclaim = (leader: unknown, value: string): ClientCall =>
    open('/v3electionpb.Election/Proclaim', 'v3electionpb.ProclaimRequest', { leader, value: b(value) });
  const resign = (leader: unknown): Promise<PlainMessage> =>
    answer(open('/v3electionpb.Election/Resign', 'v3electionpb.ResignRequest', { leader }), 'v3electionpb.ResignResponse');
  const startLeader = (): ClientCall => open('/v3electionpb.Election/Leader', 'v3electionpb.LeaderRequest', { name: b('e') });
  const leaderValue = async (): Promise<string> =>
    String(((await answer(startLeader(), 'v3electionpb.LeaderResponse'))['kv'] as PlainMessage)['value']);

  it('elects who campaigns first, tells who leads, and lets others lead when it resigns', async () => {
    expect(await refusal(startLeader())).toEqual([GrpcCode.Unknown, 'election: no leader']);
    const first = await campaign('1', 'one');
    expect(first).toMatchObject({ name: b('e'), key: b('e/1'), rev: '2', lease: '1' });
    const second = startCampaign('2', 'two');
    await untilWaiting(1);
    expect(await leaderValue()).toBe('one');
    expect(await answer(startProclaim(first, 'uno'), 'v3electionpb.ProclaimResponse')).toMatchObject({ header: { revision: '4' } });
    expect(await leaderValue()).toBe('uno');
    await resign(first);
    // The header is of when it joined.
    expect(await answer(second, 'v3electionpb.CampaignResponse')).toMatchObject({ header: { revision: '3' }, leader: { key: b('e/2') } });
    expect(await leaderValue()).toBe('two');
    expect(await refusal(startProclaim(first, 'late'))).toEqual([GrpcCode.Unknown, 'election: not leader']);
  });

  it('takes another value from who campaigns again', async () => {
    await campaign('1', 'one');
    expect(await campaign('1', 'uno')).toMatchObject({ key: b('e/1'), rev: '2' });
    expect(await leaderValue()).toBe('uno');
  });

  it('shows observers every value of every leader', async () => {
    const observer = open('/v3electionpb.Election/Observe', 'v3electionpb.LeaderRequest', { name: b('e') });
    const next = async (): Promise<string> =>
      String((decode('v3electionpb.LeaderResponse', await observer.next())['kv'] as PlainMessage)['value']);
    await untilWaiting(1);
    const first = await campaign('1', 'one');
    expect(await next()).toBe('one');
    await untilWaiting(1);
    await answer(startProclaim(first, 'uno'), 'v3electionpb.ProclaimResponse');
    expect(await next()).toBe('uno');
    await resign(first);
    await campaign('2', 'two');
    expect(await next()).toBe('two');
    observer.stream.close(8);
    while (store.streams.size > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('refuses to proclaim or resign for nobody', async () => {
    expect(await refusal(startProclaim(null, 'x'))).toEqual([GrpcCode.Unknown, '"leader" field must be provided']);
    expect(await refusal(startProclaim({ key: b(''), lease: '1' }, 'x'))).toEqual([GrpcCode.Unknown, 'etcdserver: key is not provided']);
  });
});

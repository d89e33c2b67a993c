import { FakeClock } from '@harikube/kube/fake-clock';
import { createLogger } from '@harikube/platform';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { failure, FakeApi } from './spec/fake-api.js';
import { sampleTrigger } from './spec/sample-trigger.js';
import { turns } from './spec/turns.js';
import { StatusWriter } from './status-writer.js';
import { TriggerRecord } from './trigger-record.js';

describe('StatusWriter', () => {
  let clock: FakeClock;
  let api: FakeApi;
  let abort: AbortController;
  let writer: StatusWriter;

  beforeEach(() => {
    clock = new FakeClock();
    api = new FakeApi(clock);
    abort = new AbortController();
    const logger = createLogger({ format: 'json', debug: true, destination: { write: () => undefined } });
    writer = new StatusWriter({ client: api, clock, logger, random: () => 0, signal: abort.signal });
  });

  function recordOf(name: string): TriggerRecord {
    const trigger = sampleTrigger({});
    const named = { ...trigger, metadata: { ...trigger.metadata, name, uid: `uid-of-${name}` } };
    api.addTrigger(named);
    const record = new TriggerRecord(named);
    writer.add(record);
    return record;
  }

  async function pass(milliseconds: number): Promise<void> {
    await turns(2);
    await clock.advance(milliseconds);
    await turns(2);
  }

  it('writes a status that moves once in a second', async () => {
    const record = recordOf('a');
    for (let tenth = 0; tenth < 50; tenth++) {
      record.count('received');
      await pass(100);
    }
    expect(api.patches.length).toBeGreaterThanOrEqual(5);
    expect(api.patches.length).toBeLessThanOrEqual(6);
    await pass(1000);
    expect(api.trigger('a').status?.counters?.received).toBe(50);
  });

  it('writes a cursor that only follows the resource once in a minute', async () => {
    const record = recordOf('a');
    record.count('received');
    await pass(0);
    for (let second = 0; second < 180; second++) {
      record.moveCursor({ position: BigInt(second + 1), time: clock.now() }, 'idle');
      await pass(1000);
    }
    expect(api.patches).toHaveLength(4);
  });

  it('writes what moves soon although the cursor was idle before', async () => {
    const record = recordOf('a');
    record.count('received');
    await pass(0);
    record.moveCursor({ position: 5n, time: 0 }, 'idle');
    await pass(2000);
    expect(api.patches).toHaveLength(1);
    record.count('received');
    await pass(0);
    expect(api.patches).toHaveLength(2);
  });

  it('writes a few in a second in all', async () => {
    const records = Array.from({ length: 100 }, (_, index) => recordOf(`t-${index}`));
    for (const record of records) record.count('received');
    await pass(1000);
    expect(api.patches.length).toBeLessThanOrEqual(15);
    await pass(20_000);
    expect(new Set(api.patches.map(({ name }) => name)).size).toBe(100);
  });

  it('writes nothing twice', async () => {
    const record = recordOf('a');
    record.count('received');
    await pass(1000);
    await writer.writeNow(record);
    await writer.flush(record);
    expect(api.patches).toHaveLength(1);
  });

  it('writes at once when it is asked to, and says when it cannot', async () => {
    const record = recordOf('a');
    record.moveCursor({ position: 7n, time: 0 }, 'idle');
    await writer.writeNow(record);
    expect(api.trigger('a').status?.cursor).toEqual({ resourceVersion: '7', time: '1970-01-01T00:00:00Z' });
    record.moveCursor({ position: 8n, time: 0 }, 'idle');
    api.refuses = () => failure(500, 'InternalError');
    await expect(writer.writeNow(record)).rejects.toMatchObject({ code: 500 });
  });

  it('tries again what could not be written, with the newest state, later from time to time', async () => {
    const record = recordOf('a');
    let asked = 0;
    api.refuses = () => (asked++, failure(500, 'InternalError'));
    record.count('received');
    await pass(0);
    await pass(10_000);
    expect(asked).toBe(4);
    record.count('received');
    api.refuses = () => null;
    await pass(30_000);
    expect(api.trigger('a').status?.counters?.received).toBe(2);
  });

  it('writes nothing to another trigger of the same name', async () => {
    const record = recordOf('a');
    const other = api.trigger('a');
    api.addTrigger({ ...other, metadata: { ...other.metadata, uid: 'another' } });
    record.count('received');
    await pass(1000);
    expect(api.trigger('a').status).toBeUndefined();
  });

  it('writes nothing after it was ended or the trigger was taken off', async () => {
    const [gone, ended] = [recordOf('a'), recordOf('b')];
    writer.remove(gone);
    gone.count('received');
    ended.count('received');
    abort.abort();
    await pass(60_000);
    expect(api.patches).toEqual([]);
  });
});

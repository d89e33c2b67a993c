import type { HTTPTriggerStatus } from '@harikube/crds';
import { describe, expect, it } from '@jest/globals';
import { changed } from './spec/engine.js';
import { sampleEvent, sampleTrigger } from './spec/sample-trigger.js';
import { TriggerRecord, type Urgency } from './trigger-record.js';

const NOW = Date.parse('2026-01-02T03:04:05.678Z');
const GOOD = { suspended: null, watchProblem: null, isFollowing: true, deliveryProblem: null };

function recordOf(status?: HTTPTriggerStatus): TriggerRecord {
  return new TriggerRecord({ ...sampleTrigger({}), status });
}

describe('TriggerRecord', () => {
  it('goes on with the status that is stored', () => {
    const counters = { received: 9, filtered: 1, delivered: 5, retried: 2, failed: 3, deadLettered: 1, dropped: 2 };
    const status: HTTPTriggerStatus = {
      observedGeneration: 1,
      lastGeneration: 1,
      phase: 'Running',
      cursor: { resourceVersion: '9007199254740993', time: '2026-01-02T03:04:05Z' },
      conditions: [],
      counters,
      pending: 0,
      errorTime: '2026-01-02T03:04:05Z',
      errorReason: 'HTTP500: no',
      errorResourceVersion: '12',
      lastDeliveredTime: '2026-01-02T03:00:00Z',
      lastDeliveredResourceVersion: '11',
      lastError: { time: '2026-01-02T03:04:05Z', reason: 'HTTP500', message: 'no', code: 500 },
    };
    const record = recordOf(status);
    expect(record.cursor).toEqual({ position: 9007199254740993n, time: Date.parse('2026-01-02T03:04:05Z') });
    expect(record.status).toEqual(status);
    record.count('received');
    expect(record.status).toMatchObject({ counters: { received: 10, delivered: 5 } });
  });

  it.each([
    [undefined, null],
    [{ resourceVersion: 'abc', time: '2026-01-02T03:04:05Z' }, null],
    [
      { resourceVersion: '5', time: '' },
      { position: 5n, time: 0 },
    ],
  ])('reads the cursor %j as %j', (cursor, expected) => {
    expect(recordOf({ cursor }).cursor).toEqual(expected);
  });

  it('never takes its cursor back, unless the data of the server went back', () => {
    const record = recordOf();
    const urgencies: Urgency[] = [];
    record.onChange = (urgency) => void urgencies.push(urgency);
    record.moveCursor({ position: 10n, time: 1 }, 'moved');
    record.moveCursor({ position: 9n, time: 2 }, 'moved');
    record.moveCursor({ position: 10n, time: 1 }, 'moved');
    expect([record.cursor?.position, urgencies]).toEqual([10n, ['moved']]);
    record.letCursorGoBack();
    record.moveCursor({ position: 4n, time: 3 }, 'idle');
    record.moveCursor({ position: 3n, time: 3 }, 'idle');
    expect([record.cursor?.position, urgencies]).toEqual([4n, ['moved', 'idle']]);
  });

  it('shows an error until something is delivered, and what was last for ever', () => {
    const record = recordOf();
    record.failed(sampleEvent(), { reason: 'HTTP503', message: 'busy', code: 503 }, NOW);
    expect(record.status).toMatchObject({
      errorTime: '2026-01-02T03:04:05Z',
      errorReason: 'HTTP503',
      errorResourceVersion: '41',
      counters: { failed: 1 },
    });
    record.delivered(sampleEvent({ resourceVersion: '42' }), NOW);
    expect(record.status).toMatchObject({
      errorTime: null,
      errorReason: null,
      errorResourceVersion: null,
      lastDeliveredResourceVersion: '42',
      lastError: { reason: 'HTTP503', code: 503 },
    });
  });

  it('takes the code of an earlier error away when the next one has none', () => {
    const record = recordOf();
    record.failed(sampleEvent(), { reason: 'Timeout', message: 'late' }, NOW);
    expect(record.status).toMatchObject({ lastError: { code: null } });
  });

  it('says a condition anew only when something of it changes', () => {
    const record = recordOf();
    let changes = 0;
    record.serve(sampleTrigger({}));
    record.onChange = () => changes++;
    record.say(GOOD, NOW);
    record.say(GOOD, NOW + 60_000);
    expect(changes).toBe(1);
    record.say({ ...GOOD, deliveryProblem: { reason: 'HTTP503', message: 'busy' } }, NOW + 90_000);
    const { conditions = [] } = record.status as HTTPTriggerStatus;
    expect(conditions.map(({ type, status, lastTransitionTime }) => [type, status, lastTransitionTime])).toEqual([
      ['Ready', 'False', '2026-01-02T03:05:35Z'],
      ['Watching', 'True', '2026-01-02T03:04:05Z'],
      ['Delivering', 'False', '2026-01-02T03:05:35Z'],
      ['Suspended', 'False', '2026-01-02T03:04:05Z'],
    ]);
    expect(conditions.every(({ observedGeneration }) => observedGeneration === 1)).toBe(true);
  });

  it('keeps a gap and a suspension over a restart, and takes them back for another spec', () => {
    const record = recordOf();
    record.serve(sampleTrigger({}));
    record.gap({ reason: 'ChangesMissed', message: 'from 1 to 2' });
    record.suspendFor({ reason: 'HTTP503', message: 'busy' });
    record.say({ ...GOOD, suspended: record.failedSuspension }, NOW);
    const { conditions, observedGeneration } = record.status as HTTPTriggerStatus;
    const again = recordOf({ conditions, observedGeneration });
    again.serve(sampleTrigger({}));
    expect(again.failedSuspension).toEqual({ reason: 'HTTP503', message: 'busy' });
    again.serve(changed(sampleTrigger({}), { method: 'PUT' }));
    again.say(GOOD, NOW);
    expect(again.failedSuspension).toBeNull();
    expect((again.status as HTTPTriggerStatus).conditions?.map(({ type }) => type)).not.toContain('GapDetected');
  });
});

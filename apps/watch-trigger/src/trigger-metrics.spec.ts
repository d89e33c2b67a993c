import { Registry } from 'prom-client';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { TriggerMetrics } from './trigger-metrics.js';

const KEY = { namespace: 'shop', name: 'notify' };

describe('TriggerMetrics', () => {
  let registry: Registry;
  let metrics: TriggerMetrics;

  beforeEach(() => {
    registry = new Registry();
    metrics = new TriggerMetrics(registry);
  });

  async function samples(): Promise<string[]> {
    const lines = (await registry.metrics()).split('\n');
    return lines.filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket'));
  }

  it('counts attempts by the class of the answer and by what they came to', async () => {
    metrics.attempted(KEY, { result: 'delivered', code: 204, seconds: 0.5 });
    metrics.attempted(KEY, { result: 'temporary', code: 503, seconds: 0.25 });
    metrics.attempted(KEY, { result: 'temporary', seconds: 0.25 });
    metrics.attempted(KEY, { result: 'refused', code: 302, seconds: 0 });
    const found = await samples();
    const of = 'namespace="shop",name="notify"';
    expect(found).toEqual(
      expect.arrayContaining([
        `harikube_trigger_deliveries_total{${of},code_class="2xx",result="delivered"} 1`,
        `harikube_trigger_deliveries_total{${of},code_class="5xx",result="temporary"} 1`,
        `harikube_trigger_deliveries_total{${of},code_class="none",result="temporary"} 1`,
        `harikube_trigger_deliveries_total{${of},code_class="3xx",result="refused"} 1`,
        `harikube_trigger_delivery_duration_seconds_sum{${of}} 1`,
        `serverless_kube_watch_trigger_delivery_calls_total{${of}} 4`,
        `serverless_kube_watch_trigger_delivery_calls_failed_total{${of}} 3`,
        `serverless_kube_watch_trigger_delivery_call_duration_seconds_count{${of}} 4`,
      ]),
    );
  });

  it('shows a trigger with zeros from its start', async () => {
    metrics.begin(KEY);
    const found = await samples();
    expect(found).toContain('harikube_trigger_events_received_total{namespace="shop",name="notify",type="DELETED"} 0');
    expect(found).toContain('harikube_trigger_resume_gap_total{namespace="shop",name="notify"} 0');
    expect(found.every((line) => line.endsWith(' 0'))).toBe(true);
  });

  it('shows nothing of a trigger that is gone, and all of the others', async () => {
    metrics.watchRestarted('orders.shop.example.com', 'cut');
    for (const key of [KEY, { ...KEY, name: 'other' }]) {
      metrics.begin(key);
      metrics.received(key, 'ADDED');
      metrics.filtered(key);
      metrics.attempted(key, { result: 'delivered', code: 200, seconds: 1 });
      metrics.attempted(key, { result: 'temporary', seconds: 1 });
      metrics.retried(key);
      metrics.delivered(key, 2);
      metrics.deadLettered(key);
      metrics.dropped(key);
      metrics.gap(key);
      metrics.queueDepth(key, 3);
    }
    const before = await samples();
    metrics.remove(KEY);
    const after = await samples();
    expect(after.some((line) => line.includes('name="notify"'))).toBe(false);
    expect(after).toEqual(before.filter((line) => !line.includes('name="notify"')));
    expect(after).toContain('harikube_trigger_watch_restarts_total{resource="orders.shop.example.com",reason="cut"} 1');
  });
});

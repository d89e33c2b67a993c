import type { HTTPTrigger } from '@harikube/crds';
import type { KubeObject, Resource } from '@harikube/kube';
import type { TriggerEvent } from '../trigger-event.js';

export const ORDERS: Resource<KubeObject> = { group: 'shop.example.com', version: 'v1', kind: 'Order', plural: 'orders', namespaced: true };

export interface Order extends KubeObject {
  spec?: Record<string, unknown>;
}

/** A trigger `shop/notify` on Orders; with the defaults of the schema, and what a spec sets. */
export function sampleTrigger(spec: Partial<HTTPTrigger['spec']>): HTTPTrigger {
  return {
    apiVersion: 'triggers.harikube.info/v1',
    kind: 'HTTPTrigger',
    metadata: { name: 'notify', namespace: 'shop', uid: 'trigger-uid', generation: 1 },
    spec: {
      resource: { apiVersion: 'shop.example.com/v1', kind: 'Order' },
      concurrency: 1,
      sendInitialEvents: false,
      suspend: false,
      url: {},
      method: 'POST',
      delivery: { timeout: '10s', retries: 1 },
      ...spec,
    },
  };
}

export function sampleOrder(spec: Record<string, unknown> = { total: 3, customer: 'Ann' }): Order {
  return {
    apiVersion: 'shop.example.com/v1',
    kind: 'Order',
    metadata: { name: 'o-1', namespace: 'shop', uid: 'order-uid', resourceVersion: '41', labels: { tier: 'gold' } },
    spec,
  };
}

export function sampleEvent(changes: Partial<TriggerEvent> = {}): TriggerEvent {
  return {
    id: 'c0ffee',
    type: 'ADDED',
    resource: ORDERS,
    object: sampleOrder(),
    resourceVersion: '41',
    receivedAt: Date.parse('2026-01-02T03:04:05.678Z'),
    isInitial: false,
    isAfterGap: false,
    ...changes,
  };
}

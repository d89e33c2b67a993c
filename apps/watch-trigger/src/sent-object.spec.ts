import { describe, expect, it } from '@jest/globals';
import { CONFIG_MAPS, type KubeObject, SECRETS } from '@harikube/kube';
import { sentObject } from './sent-object.js';
import { ORDERS, sampleEvent } from './spec/sample-trigger.js';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

const SECRET: KubeObject & Record<string, unknown> = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 's', namespace: 'shop', annotations: { [LAST_APPLIED]: '{"data":{"a":"aGlkZGVu"}}', kept: 'yes' } },
  type: 'Opaque',
  data: { a: 'aGlkZGVu', b: 'aGlkZGVu' },
  stringData: { c: 'hidden' },
};

describe('sentObject', () => {
  it('has of a Secret the keys and not the values, wherever they are', () => {
    const sent = sentObject(sampleEvent({ resource: SECRETS, object: SECRET }), false);
    expect(sent).toEqual({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'shop', annotations: { [LAST_APPLIED]: 'REDACTED', kept: 'yes' } },
      type: 'Opaque',
      data: { a: 'REDACTED', b: 'REDACTED' },
      stringData: { c: 'REDACTED' },
    });
    expect(JSON.stringify(SECRET)).toContain('aGlkZGVu');
  });

  it('adds nothing to a Secret that has neither', () => {
    const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };
    expect(sentObject(sampleEvent({ resource: SECRETS, object }), false)).toEqual(object);
  });

  it('is a Secret as it is where that is allowed', () => {
    expect(sentObject(sampleEvent({ resource: SECRETS, object: SECRET }), true)).toBe(SECRET);
  });

  it('is any other object as it is, also of another Secret of another group', () => {
    for (const resource of [CONFIG_MAPS, { ...ORDERS, kind: 'Secret', plural: 'secrets' }]) {
      expect(sentObject(sampleEvent({ resource, object: SECRET }), false)).toBe(SECRET);
    }
  });
});

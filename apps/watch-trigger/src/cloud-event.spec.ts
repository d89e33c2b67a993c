import { describe, expect, it } from '@jest/globals';
import { NAMESPACES, SECRETS } from '@harikube/kube';
import { cloudEventHeaders, deadLetterHeaders } from './cloud-event.js';
import { sampleEvent, sampleOrder } from './spec/sample-trigger.js';

const TRIGGER = { name: 'notify', namespace: 'shop' };

describe('cloudEventHeaders', () => {
  it('says what happened to which object', () => {
    expect(cloudEventHeaders(sampleEvent(), TRIGGER)).toEqual({
      'ce-specversion': '1.0',
      'ce-id': 'c0ffee',
      'ce-source': '/apis/triggers.harikube.info/v1/namespaces/shop/httptriggers/notify',
      'ce-type': 'info.harikube.object.added',
      'ce-subject': '/apis/shop.example.com/v1/namespaces/shop/orders/o-1',
      'ce-time': '2026-01-02T03:04:05.678Z',
      'ce-kind': 'Order',
      'ce-apiversion': 'shop.example.com/v1',
      'ce-name': 'o-1',
      'ce-namespace': 'shop',
      'ce-resourceversion': '41',
    });
  });

  it('has a type for each type of event', () => {
    const types = (['ADDED', 'MODIFIED', 'DELETED'] as const).map((type) => cloudEventHeaders(sampleEvent({ type }), TRIGGER)['ce-type']);
    expect(types).toEqual(['info.harikube.object.added', 'info.harikube.object.modified', 'info.harikube.object.deleted']);
  });

  it('names objects of the core group and of the cluster by their paths in the API', () => {
    const secret = cloudEventHeaders(sampleEvent({ resource: SECRETS }), TRIGGER);
    expect([secret['ce-subject'], secret['ce-apiversion']]).toEqual(['/api/v1/namespaces/shop/secrets/o-1', 'v1']);
    const object = { metadata: { name: 'blue' } };
    const namespace = cloudEventHeaders(sampleEvent({ resource: NAMESPACES, object }), TRIGGER);
    expect(namespace['ce-subject']).toBe('/api/v1/namespaces/blue');
    expect(namespace).not.toHaveProperty('ce-namespace');
  });

  it('says where an event came from when that is not a change alone', () => {
    expect(cloudEventHeaders(sampleEvent({ isInitial: true }), TRIGGER)).toMatchObject({ 'ce-initial': 'true' });
    expect(cloudEventHeaders(sampleEvent({ isAfterGap: true }), TRIGGER)).toMatchObject({ 'ce-gap': 'true' });
    for (const stillExists of [true, false]) {
      const headers = cloudEventHeaders(sampleEvent({ type: 'DELETED', stillExists }), TRIGGER);
      expect(headers['ce-stillexists']).toBe(String(stillExists));
    }
    const names = Object.keys(cloudEventHeaders(sampleEvent(), TRIGGER));
    expect(names.filter((name) => ['ce-initial', 'ce-gap', 'ce-stillexists'].includes(name))).toEqual([]);
  });

  it.each([
    ['a b', 'a%20b'],
    ['say "no"', 'say%20%22no%22'],
    ['100%', '100%25'],
    ['Größe', 'Gr%C3%B6%C3%9Fe'],
    ['€', '%E2%82%AC'],
    ['😀', '%F0%9F%98%80'],
    ['a\r\nb', 'a%0D%0Ab'],
    ['!#$&~', '!#$&~'],
    ['\ud800', '%EF%BF%BD'],
  ])('encodes %j as %s', (name, encoded) => {
    const object = { ...sampleOrder(), metadata: { name, namespace: 'shop' } };
    expect(cloudEventHeaders(sampleEvent({ object }), TRIGGER)['ce-name']).toBe(encoded);
  });
});

describe('deadLetterHeaders', () => {
  it('says why, with what code, and of which target without credentials and query', () => {
    const failure = { reason: 'HTTP400', message: 'no such size: größer', code: 400 };
    expect(deadLetterHeaders(failure, new URL('https://user:word@example.com:8443/hook?key=1'))).toEqual({
      'ce-errorreason': 'HTTP400',
      'ce-errorcode': '400',
      'ce-errordest': 'https://example.com:8443/hook',
      'ce-errormessage': 'no%20such%20size:%20gr%C3%B6%C3%9Fer',
    });
  });

  it('leaves out what is not known, and the end of a long message', () => {
    const headers = deadLetterHeaders({ reason: 'Timeout', message: 'x'.repeat(5000) }, null);
    expect(Object.keys(headers)).toEqual(['ce-errorreason', 'ce-errormessage']);
    expect(headers['ce-errormessage']).toHaveLength(512);
  });
});

import { describe, expect, it } from '@jest/globals';
import { TRACEPARENT_ANNOTATION, traceparentOf } from './trace-annotation.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const CREATED = Date.parse('2026-01-01T00:00:00Z');

function object(metadata: object = {}, traceparent = TRACEPARENT): Parameters<typeof traceparentOf>[0] {
  return { metadata: { creationTimestamp: '2026-01-01T00:00:00Z', annotations: { [TRACEPARENT_ANNOTATION]: traceparent }, ...metadata } };
}

describe('traceparentOf', () => {
  it('is the trace that an object says it came to be in', () => {
    expect(traceparentOf(object(), CREATED + 1000)).toBe(TRACEPARENT);
  });

  it('is none later, while the object goes, and when what is said is no trace context', () => {
    expect(traceparentOf(object(), CREATED + 10 * 60_000)).toBeUndefined();
    expect(traceparentOf(object({ deletionTimestamp: '2026-01-01T00:00:01Z' }), CREATED + 1000)).toBeUndefined();
    expect(traceparentOf(object({ annotations: undefined }), CREATED + 1000)).toBeUndefined();
    expect(traceparentOf(object({}, 'x'.repeat(100_000)), CREATED + 1000)).toBeUndefined();
    expect(traceparentOf(object({ creationTimestamp: undefined }), CREATED)).toBeUndefined();
  });
});

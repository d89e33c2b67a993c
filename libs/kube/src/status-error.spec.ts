import { describe, expect, it } from '@jest/globals';
import { failure } from './spec/api-server-double.js';
import { StatusError } from './status-error.js';

const of = (code: number, reason: string, more: object = {}): StatusError =>
  StatusError.ofAnswer(code, JSON.stringify(failure(code, reason, reason, more)), undefined);

describe('StatusError', () => {
  it('tells apart what callers tell apart', () => {
    expect(of(404, 'NotFound').isNotFound).toBe(true);
    expect(of(409, 'AlreadyExists')).toMatchObject({ isAlreadyExists: true, isConflict: false });
    expect(of(409, 'Conflict')).toMatchObject({ isAlreadyExists: false, isConflict: true });
    expect(of(410, 'Expired').isGone).toBe(true);
    expect(of(410, 'Gone').isGone).toBe(true);
    expect(of(422, 'Invalid').isInvalid).toBe(true);
    expect(of(401, 'Unauthorized').isUnauthorized).toBe(true);
    expect(of(429, 'TooManyRequests').isTooManyRequests).toBe(true);
    expect(of(504, 'Timeout')).toMatchObject({ isTimeout: true, isServerTimeout: false });
    expect(of(500, 'ServerTimeout').isServerTimeout).toBe(true);
    expect(of(504, 'Timeout', { details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } }).isVersionTooLarge).toBe(true);
  });

  it('knows a namespace on its way out by the cause, not by the code', () => {
    const details = {
      causes: [{ reason: 'NamespaceTerminating', message: 'namespace x is being terminated', field: 'metadata.namespace' }],
    };
    expect(of(403, 'Forbidden', { details })).toMatchObject({ isForbidden: true, isNamespaceTerminating: true });
    expect(of(403, 'Forbidden')).toMatchObject({ isForbidden: true, isNamespaceTerminating: false });
  });

  it('has code and text of an answer that is no Status', () => {
    const error = StatusError.ofAnswer(503, ' upstream connect error\n', '7');
    expect(error).toMatchObject({
      code: 503,
      reason: '',
      message: 'the server answered 503: upstream connect error',
      retryAfterSeconds: 7,
    });
    expect(StatusError.ofAnswer(502, '', undefined)).toMatchObject({ message: 'the server answered 502', retryAfterSeconds: null });
    expect(StatusError.ofAnswer(500, '{"kind":"Pod"}', 'Wed, 21 Oct 2026 07:28:00 GMT')).toMatchObject({
      code: 500,
      retryAfterSeconds: null,
    });
  });

  it('takes the time to wait from the Status before the header', () => {
    const body = JSON.stringify(failure(429, 'TooManyRequests', 'busy', { details: { retryAfterSeconds: 3 } }));
    expect(StatusError.ofAnswer(429, body, '9').retryAfterSeconds).toBe(3);
  });
});

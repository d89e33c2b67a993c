import { describe, expect, it } from '@jest/globals';
import { ConnectionError, type StatusDetails, StatusError } from '@harikube/kube';
import { ofOwnKind } from './request-error.js';

const STORED = 'product.webshop.harikube.info';
const OWN = `api.${STORED}`;

function said(code: number, reason: string, message: string, details?: StatusDetails): StatusError {
  return ofOwnKind(
    new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message, details }),
    'Secret-1',
  );
}

describe('ofOwnKind', () => {
  it('speaks of the kind that was asked for, with the same fields', () => {
    const details: StatusDetails = {
      ...{ name: 'x', group: STORED, kind: 'RegistrationRequest' },
      causes: [{ reason: 'FieldValueInvalid', message: 'Invalid value: "Secret-1"', field: 'spec.user.email' }],
    };
    const error = said(422, 'Invalid', `RegistrationRequest.${STORED} "x" is invalid: spec.user.email: Invalid value`, details);
    expect(error.status).toEqual({
      ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code: 422, reason: 'Invalid' },
      message: `Registration.${OWN} "x" is invalid: spec.user.email: Invalid value`,
      details: {
        ...{ name: 'x', group: OWN, kind: 'Registration' },
        causes: [{ reason: 'FieldValueInvalid', message: 'Invalid value: "***"', field: 'spec.user.email' }],
      },
    });
  });

  it.each([
    ['short', 'is too short and lacks a capital letter, a digit and a special character'],
    ['letter', 'is too short and lacks a capital letter, a digit and a special character'],
    ['capital letter', 'lacks a capital letter and a digit'],
  ])('says what admission says of the password %s, and shows it nowhere else', (password, problem) => {
    const rule = `must have 8 to 64 characters, among them a small letter, a capital letter, a digit and a special character; it ${problem}`;
    const message = `spec.password: Invalid value: ${rule}, spec.user.email: Invalid value: "${password}", ${password}`;
    const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code: 422, reason: 'Invalid', message } as const;
    expect(ofOwnKind(new StatusError(status), password).message).toBe(
      `spec.password: Invalid value: ${rule}, spec.user.email: Invalid value: "***", ***`,
    );
  });

  it('passes on what admission says', () => {
    const error = said(403, 'Forbidden', 'admission webhook "a.b" denied the request: not on Sundays');
    expect([error.code, error.message]).toEqual([403, 'not on Sundays']);
  });

  it('keeps to itself what is wrong with the platform', () => {
    const rights = said(
      403,
      'Forbidden',
      `registrationrequests.${STORED} is forbidden: User "system:serviceaccount:x:y" cannot create resource "registrationrequests"`,
    );
    expect([rights.code, rights.message]).toEqual([500, 'Internal error occurred: this server has no right to store registrations']);
    const webhook = said(
      500,
      'InternalError',
      'Internal error occurred: failed calling webhook "x": Post "https://10.0.0.7:9443": dial tcp 10.0.0.7:9443',
    );
    expect(webhook).toMatchObject({
      code: 503,
      retryAfterSeconds: 1,
      message: 'the admission of registrations does not answer at the moment',
    });
    const internal = said(500, 'InternalError', 'etcdserver: 10.0.0.8');
    expect([internal.code, internal.message.includes('10.0.0.8')]).toEqual([500, false]);
    expect(internal.cause).toBeInstanceOf(StatusError);
    expect(said(404, 'NotFound', 'no such kind')).toMatchObject({ code: 503, retryAfterSeconds: null });
    expect(said(429, 'TooManyRequests', 'slow down')).toMatchObject({ code: 429, retryAfterSeconds: 1 });
    expect(said(503, 'ServiceUnavailable', 'starting')).toMatchObject({ code: 503, retryAfterSeconds: 1 });
    expect(said(504, 'Timeout', 'late').message).toContain('whether it has begun is not known: repeat it');
    expect(ofOwnKind(new ConnectionError('POST https://10.0.0.9'), null)).toMatchObject({ code: 503, retryAfterSeconds: 1 });
    expect(ofOwnKind(new TypeError('x'), null)).toMatchObject({ code: 500 });
  });
});

import { describe, expect, it } from '@jest/globals';
import { ALLOWED, BadReviewError, denied, invalid, parseReview, reviewOf } from './admission-review.js';
import { reviewBody } from './spec/review.js';

function refusal(body: string): BadReviewError {
  try {
    parseReview(body);
  } catch (error) {
    if (error instanceof BadReviewError) return error;
    throw error;
  }
  throw new Error('it was read');
}

describe('parseReview', () => {
  it('reads what is judged, and of the user the name alone', () => {
    const request = parseReview(reviewBody({ uid: 'u-1', kind: 'Tenant', object: { spec: {} }, username: 'jane' }));
    expect(request).toEqual({
      uid: 'u-1',
      kind: { group: 'product.webshop.harikube.info', version: 'v1', kind: 'Tenant' },
      subresource: '',
      name: 'sample',
      namespace: '',
      operation: 'CREATE',
      username: 'jane',
      isDryRun: false,
      object: { spec: {} },
      oldObject: null,
    });
  });

  it('reads a request to DELETE, which has an old object only', () => {
    const request = parseReview(reviewBody({ operation: 'DELETE', object: null, oldObject: { spec: {} } }));
    expect([request.object, request.oldObject]).toEqual([null, { spec: {} }]);
  });

  it.each([
    ['', 'the body is empty', ''],
    ['Canary', 'the body is no JSON object', ''],
    ['"Canary"', 'the body is no JSON object', ''],
    ['[]', 'the body is no JSON object', ''],
    ['{}', 'the body is no AdmissionReview', ''],
    [reviewBody({}).replace('admission.k8s.io/v1', 'admission.k8s.io/v1beta1'), 'the body is no AdmissionReview', 'uid-1'],
    ['{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', 'the AdmissionReview has no request', ''],
    [reviewBody({ uid: '' }), 'the request has no uid', ''],
    [reviewBody({ operation: 'PATCH' }), 'no operation that is known', 'uid-1'],
    [reviewBody({ object: null }), 'the request to CREATE has no object', 'uid-1'],
    [reviewBody({ object: 'Canary' }), 'the object of the request is no object', 'uid-1'],
    [reviewBody({ operation: 'UPDATE' }), 'the request to UPDATE has no oldObject', 'uid-1'],
  ])('refuses %j', (body, message, uid) => {
    const error = refusal(body);
    expect([error.message, error.uid]).toEqual([expect.stringContaining(message), uid]);
    expect(error.message).not.toContain('Canary');
    expect(error.cause).toBeUndefined();
  });

  it('survives every beginning of a question, and bytes that are none', () => {
    const body = reviewBody({ object: { metadata: { name: 'ű' } } });
    for (let length = 0; length < body.length; length++) refusal(body.slice(0, length));
    for (let at = 0; at < body.length; at++) {
      const broken = `${body.slice(0, at)}\u0000${body.slice(at + 1)}`;
      try {
        parseReview(broken);
      } catch (error) {
        expect(error).toBeInstanceOf(BadReviewError);
      }
    }
  });
});

describe('reviewOf', () => {
  it('repeats the uid and says yes without a patch when nothing changes', () => {
    expect(reviewOf('u-1', { ...ALLOWED, patch: [] })).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u-1', allowed: true },
    });
  });

  it('carries the patch in base64 beside its type', () => {
    const patch = [{ op: 'add', path: '/a', value: 'ű' }] as const;
    const { response } = reviewOf('u-1', { denial: null, patch, warnings: ['mind'] }) as { response: Record<string, unknown> };
    expect(response).toMatchObject({ allowed: true, patchType: 'JSONPatch', warnings: ['mind'] });
    expect(JSON.parse(Buffer.from(String(response['patch']), 'base64').toString())).toEqual(patch);
  });

  it('says no with a Status, and never with a patch', () => {
    const denial = { code: 409, reason: 'AlreadyExists', message: 'no' };
    expect(reviewOf('u-1', { ...denied(denial), patch: [{ op: 'remove', path: '/a' }] })).toMatchObject({
      response: { uid: 'u-1', allowed: false, status: { metadata: {}, status: 'Failure', ...denial } },
    });
    expect(JSON.stringify(reviewOf('u-1', denied(denial)))).not.toContain('patch');
  });

  it('names every field of an object that is invalid', () => {
    const request = parseReview(reviewBody({ kind: 'User' }));
    const cause = { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.email' };
    const one = invalid(request, [cause]).denial;
    expect(one).toEqual({
      code: 422,
      reason: 'Invalid',
      message: 'User.product.webshop.harikube.info "sample" is invalid: spec.email: Required value',
      details: { name: 'sample', group: 'product.webshop.harikube.info', kind: 'User', causes: [cause] },
    });
    expect(invalid(request, [cause, { ...cause, field: 'spec.firstName' }]).denial?.message).toContain(
      'is invalid: [spec.email: Required value, spec.firstName: Required value]',
    );
    const nameless = parseReview(reviewBody({ kind: 'User', name: '' }));
    expect(invalid(nameless, [cause]).denial?.details).not.toHaveProperty('name');
  });
});

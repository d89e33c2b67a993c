import { describe, expect, it } from '@jest/globals';
import { API_VERSION, REGISTRATION_ANNOTATION, type RegistrationRequest } from '@harikube/crds';
import { TRACEPARENT_ANNOTATION } from '@harikube/kube';
import { tenantOf } from './registration-children.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function requestWith(annotations?: Record<string, string>): RegistrationRequest {
  return {
    apiVersion: API_VERSION,
    kind: 'RegistrationRequest',
    metadata: { name: 'jane', uid: 'u-1', annotations },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email: 'jane@example.com' },
      password: 'hash',
      tenant: { country: 'HU', city: 'B', address: 'a', postalCode: '1' },
    },
  };
}

describe('what is made of a registration', () => {
  it('carries its trace on, where it has one', () => {
    const annotationsOf = (request: RegistrationRequest): object | undefined => tenantOf(request).metadata.annotations;
    const always = { [REGISTRATION_ANNOTATION]: 'jane' };
    expect(annotationsOf(requestWith({ [TRACEPARENT_ANNOTATION]: TRACEPARENT }))).toEqual({
      ...always,
      [TRACEPARENT_ANNOTATION]: TRACEPARENT,
    });
    expect(annotationsOf(requestWith({ [TRACEPARENT_ANNOTATION]: 'none' }))).toEqual(always);
    expect(annotationsOf(requestWith())).toEqual(always);
  });
});

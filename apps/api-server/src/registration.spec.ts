import { describe, expect, it } from '@jest/globals';
import { AGGREGATED_API_VERSION, API_VERSION } from '@harikube/crds';
import { TRACEPARENT_ANNOTATION } from '@harikube/kube';
import type { CreateOptions } from './create-options.js';
import { type AskedRegistration, readRegistration, registrationOf, requestOf } from './registration.js';
import { condition, PASSWORD, sampleSpec, storedRequest } from './spec/sample-requests.js';

const own = { apiVersion: AGGREGATED_API_VERSION, kind: 'Registration' };
const spec = sampleSpec('jane@example.com');

function read(
  object: Record<string, unknown>,
  pathName = '',
  options: Partial<CreateOptions> = {},
  duplicates: string[] = [],
): AskedRegistration {
  return readRegistration({ object, duplicates }, pathName, { isDryRun: false, fieldValidation: 'Warn', fieldManager: 'm', ...options });
}

describe('the trace of a registration', () => {
  it('is that of the request and none that somebody writes into the object, and is shown to nobody', () => {
    const annotations = { [TRACEPARENT_ANNOTATION]: 'made up', kept: 'yes' };
    const asked = read({ ...own, metadata: { name: 'a', annotations }, spec });
    const by = { user: 'jane', auditId: '1' };
    expect(requestOf(asked, 'a', by).metadata.annotations).not.toHaveProperty([TRACEPARENT_ANNOTATION]);
    const request = requestOf(asked, 'a', { ...by, traceparent: 'of the request' });
    expect(request.metadata.annotations).toMatchObject({ [TRACEPARENT_ANNOTATION]: 'of the request' });
    expect(registrationOf(request).metadata.annotations).toEqual({ kept: 'yes' });
  });
});

describe('readRegistration', () => {
  it('takes this kind and the stored one', () => {
    expect(read({ ...own, metadata: { name: 'a' }, spec })).toMatchObject({ name: 'a', spec, warnings: [] });
    expect(read({ apiVersion: API_VERSION, kind: 'RegistrationRequest', spec }, 'a')).toMatchObject({ name: 'a', spec });
  });

  it('refuses other kinds and versions', () => {
    expect(() => read({ ...own, kind: 'Tenant' }, 'a')).toThrow('the kind in the data (Tenant) does not match the expected kind');
    expect(() => read({ ...own, apiVersion: 'v1' }, 'a')).toThrow(
      `the API version in the data (v1) does not match the expected API version (${AGGREGATED_API_VERSION})`,
    );
    expect(() => read({ ...own, kind: 'RegistrationRequest' }, 'a')).toThrow(`expected API version (${API_VERSION})`);
    expect(() => read({ apiVersion: 'v1' }, 'a')).toThrow("Object 'Kind' is missing");
    expect(() => read({ kind: 'Registration' }, 'a')).toThrow("Object 'apiVersion' is missing");
  });

  it('takes the name of the path, of the object, or the beginning of one', () => {
    expect(read({ ...own, metadata: { name: 'a' }, spec }, 'a').name).toBe('a');
    expect(read({ ...own, metadata: { generateName: 'g-' }, spec })).toMatchObject({ name: '', generateName: 'g-' });
    expect(read({ ...own, metadata: { name: 'a', generateName: 'g-' }, spec }).name).toBe('a');
    expect(() => read({ ...own, metadata: { name: 'b' }, spec }, 'a')).toThrow(
      'the name of the object (b) does not match the name on the URL (a)',
    );
    expect(() => read({ ...own, spec })).toThrow(
      'Registration.api.product.webshop.harikube.info "" is invalid: metadata.name: Required value: name or generateName is required',
    );
  });

  it('drops what a client may not set, and refuses what it must not', () => {
    const metadata = { name: 'a', uid: 'u', namespace: 'n', creationTimestamp: 'x', managedFields: [] };
    const asked = read({ ...own, metadata, spec, status: { tenant: 'x' } });
    expect(requestOf(asked, 'a', { user: 'jane', auditId: '1' }).metadata).toEqual({
      name: 'a',
      labels: {},
      annotations: { 'product.webshop.harikube.info/requested-by': 'jane', 'product.webshop.harikube.info/audit-id': '1' },
    });
    expect(() => read({ ...own, metadata: { name: 'a', resourceVersion: '1' }, spec })).toThrow(
      'resourceVersion should not be set on objects to be created',
    );
    expect(() => read({ ...own, metadata: { name: 'a', finalizers: ['f'], ownerReferences: [{}] }, spec })).toThrow(
      '[metadata.finalizers: Forbidden: a registration is not kept and not owned, metadata.ownerReferences: Forbidden',
    );
    for (const wrong of [{ name: 1 }, { name: 'a', labels: [] }, { name: 'a', annotations: { a: 1 } }, 'x'])
      expect(() => read({ ...own, metadata: wrong, spec })).toThrow('cannot be handled as a Registration');
  });

  it('passes labels and annotations on, but for the copy of the password that kubectl makes, and for who asked', () => {
    const annotations = {
      a: '1',
      'kubectl.kubernetes.io/last-applied-configuration': PASSWORD,
      'product.webshop.harikube.info/requested-by': 'somebody',
    };
    const request = requestOf(read({ ...own, metadata: { name: 'a', labels: { l: '1' }, annotations }, spec }), 'a', {
      user: 'jane',
      auditId: '1',
    });
    expect(request.metadata.labels).toEqual({ l: '1' });
    expect(request.metadata.annotations).toMatchObject({ a: '1', 'product.webshop.harikube.info/requested-by': 'jane' });
    expect(JSON.stringify(request.metadata)).not.toContain(PASSWORD);
  });

  it('complains of unknown and double fields as it is told to', () => {
    const object = {
      ...own,
      extra: 1,
      metadata: { name: 'a', nick: 'b' },
      spec: { ...spec, user: { ...spec.user, age: 7 } },
      status: { any: 1 },
    };
    const complaints = [
      'duplicate field "spec"',
      'unknown field "metadata.nick"',
      'unknown field "extra"',
      'unknown field "spec.user.age"',
    ];
    expect(read(object, '', {}, complaints.slice(0, 1)).warnings).toEqual(complaints);
    expect(read(object, '', { fieldValidation: 'Ignore' }, complaints.slice(0, 1)).warnings).toEqual([]);
    expect(() => read(object, '', { fieldValidation: 'Strict' }, complaints.slice(0, 1))).toThrow(
      `Registration in version "v1" cannot be handled as a Registration: strict decoding error: ${complaints.join(', ')}`,
    );
  });
});

describe('registrationOf', () => {
  it('is what was made, without the password and without anything that would make it an object of its own', () => {
    const registration = registrationOf(storedRequest('jane', 'u-1', condition('Complete', 'True')));
    expect(registration).toEqual({
      apiVersion: AGGREGATED_API_VERSION,
      kind: 'Registration',
      metadata: { name: 'jane', creationTimestamp: '2026-01-02T03:04:05Z' },
      spec: { user: spec.user, tenant: spec.tenant },
      status: { request: 'jane', uid: 'u-1', tenant: 'u-1', namespace: 'u-1', user: 'u-1' },
    });
  });
});

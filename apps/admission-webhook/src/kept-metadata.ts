/** What controllers rely on in the metadata of an object, kept from those who are not these controllers. */
import { REGISTRATION_ANNOTATION, TENANT_LABEL } from '@harikube/crds';
import type { AdmissionRequest, Cause } from './admission-review.js';
import { textAt, textsAt, valueAt } from './json-object.js';
import type { JsonPatch } from './json-patch.js';

/** The accounts of the platform, by the full name under which the API server knows them. */
export interface PlatformAccounts {
  readonly apiServer: string;
  readonly registrationController: string;
  readonly tenantController: string;
}

export function platformAccounts(namespace: string): PlatformAccounts {
  const account = (name: string): string => `system:serviceaccount:${namespace}:${name}`;
  return {
    apiServer: account('api-server'),
    registrationController: account('registration-controller'),
    tenantController: account('tenant-controller'),
  };
}

const FINALIZERS = ['metadata', 'finalizers'];

export function isDeleting(object: unknown): boolean {
  return (valueAt(object, ['metadata', 'deletionTimestamp']) ?? null) !== null;
}

export function hasFinalizer(object: unknown, finalizer: string): boolean {
  return textsAt(object, FINALIZERS).includes(finalizer);
}

/** The API server lets nobody add one to an object that is being deleted. */
export function addFinalizer(patch: JsonPatch, finalizer: string): void {
  if (!isDeleting(patch.result)) patch.append(FINALIZERS, finalizer);
}

/** A finalizer that was there goes only with its object, or by who put it there: without it nothing cleans up after the object. */
export function finalizerCauses(request: AdmissionRequest, finalizer: string, controller: string): Cause[] {
  const { object, oldObject, username } = request;
  const isTaken = hasFinalizer(oldObject, finalizer) && !hasFinalizer(object, finalizer);
  if (!isTaken || isDeleting(object) || username === controller) return [];
  const message = `Forbidden: ${finalizer} stays until the object is deleted`;
  return [{ reason: 'FieldValueForbidden', message, field: 'metadata.finalizers' }];
}

const CONTROLLED = [
  { path: ['metadata', 'labels', TENANT_LABEL], field: `metadata.labels[${TENANT_LABEL}]` },
  { path: ['metadata', 'annotations', REGISTRATION_ANNOTATION], field: `metadata.annotations[${REGISTRATION_ANNOTATION}]` },
];

/**
 * The label and the annotation that say which registration an object was made for are set by the registration-controller, once. Nobody else sets
 * them, whatever groups he is in: an administrator's Tenant or User has none of them.
 */
export function registrationMarkCauses({ object, oldObject, username }: AdmissionRequest, registrationController: string): Cause[] {
  return CONTROLLED.flatMap(({ path, field }): Cause[] => {
    const before = textAt(oldObject, path);
    if (textAt(object, path) === before) return [];
    if (before !== undefined) return [{ reason: 'FieldValueForbidden', message: 'Forbidden: it cannot be changed', field }];
    if (username === registrationController) return [];
    return [{ reason: 'FieldValueForbidden', message: 'Forbidden: only the registration-controller sets it', field }];
  });
}

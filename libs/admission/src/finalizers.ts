import type { AdmissionRequest, Cause } from './admission-review.js';
import { textsAt, valueAt } from './json-object.js';
import type { JsonPatch } from './json-patch.js';

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

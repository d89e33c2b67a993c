import { isDeepStrictEqual } from 'node:util';
import { type CustomObject, type SchemaClass, validateSpec, type ValidateOptions } from '@harikube/crds';
import type { AdmissionRequest, Cause } from './admission-review.js';

/**
 * What is wrong with the spec of an object, as the API server says it. On an update a field that is as it was is not held against it: an object
 * that a former schema took can still be changed elsewhere.
 */
export function specCauses<T extends CustomObject>(
  kind: SchemaClass<T>,
  { operation, oldObject }: AdmissionRequest,
  object: unknown,
  options?: ValidateOptions,
): Cause[] {
  return validateSpec(kind, object, options)
    .filter(({ field }) => operation !== 'UPDATE' || !isDeepStrictEqual(at(object, field), at(oldObject, field)))
    .map(({ type, message, field }) => ({ reason: type, message, field }));
}

/** What is at a path such as `spec.items[2].name`. */
function at(object: unknown, field: string): unknown {
  let value = object;
  for (const name of field.replaceAll(/\[(\d+)\]/g, '.$1').split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = Reflect.get(value, name);
  }
  // The API server takes null for nothing.
  return value ?? undefined;
}

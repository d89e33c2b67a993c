// `kubectl apply` sends the whole manifest once more, as the text of an annotation: a secret in it would be stored beside its own hash.
import { isObject, type JsonObject, JsonPatch, valueAt } from '@harikube/admission';
import { PASSWORD_ANNOTATION } from '@harikube/crds';

export const LAST_APPLIED_ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration';

export interface RegistrationSecret {
  /** What stands in the object for the password. */
  readonly hash: string;
  /** The password, where it is known. */
  readonly plain?: string;
  /** Whether a text may stay where a password is. */
  readonly isHash: (text: string) => boolean;
}

/** The annotation of a RegistrationRequest with the hash in place of the password; null: it must not be kept. The same text when nothing is to be hidden. */
export function withoutPassword(text: string, { hash, plain, isHash }: RegistrationSecret): string | null {
  const manifest = parsed(text);
  if (manifest === null) return null;
  const password = valueAt(manifest, ['spec', 'password']);
  const isKept = password === undefined || (typeof password === 'string' && isHash(password));
  if (isKept && plain === undefined) return text;
  const patch = new JsonPatch(manifest);
  if (!isKept) patch.set(['spec', 'password'], hash);
  const scrubbed = written(patch.result, text);
  // The same word somewhere else in the manifest.
  return plain !== undefined && scrubbed.includes(JSON.stringify(plain).slice(1, -1)) ? null : scrubbed;
}

/** The annotation of a User without the hash, which stays on the User only until it is in its Secret; null: it must not be kept. */
export function withoutPasswordAnnotation(text: string): string | null {
  const manifest = parsed(text);
  if (manifest === null) return null;
  const patch = new JsonPatch(manifest);
  patch.remove(['metadata', 'annotations', PASSWORD_ANNOTATION]);
  return patch.operations.length === 0 ? text : written(patch.result, text);
}

function parsed(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** kubectl ends the text with a line break, and compares all of it at the next apply. */
function written(manifest: JsonObject, before: string): string {
  return `${JSON.stringify(manifest)}${before.endsWith('\n') ? '\n' : ''}`;
}

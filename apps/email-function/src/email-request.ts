import { isUtf8 } from 'node:buffer';
import { EMAILS, GROUP } from '@harikube/crds';

/** Which Email a request is about. What else it holds is read from the API, where it is up to date. */
export interface EmailRequest {
  readonly namespace: string;
  readonly name: string;
  /** Null: whichever has the name. */
  readonly uid: string | null;
}

/** The body is none that names an Email. */
export class BadRequestError extends Error {
  override readonly name = 'BadRequestError';
}

const OBJECT_NAME = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;
const DEFAULT_NAMESPACE = 'default';

/** The Email of a body, which is the whole object as JSON. Throws `BadRequestError`. */
export function parseEmailRequest(body: Uint8Array): EmailRequest {
  const object = record(parsed(body));
  if (object === null) throw new BadRequestError('the body is not an object in JSON');
  const { apiVersion, kind } = object;
  const isEmail = (kind === undefined || kind === EMAILS.kind) && (apiVersion === undefined || isOfGroup(apiVersion));
  if (!isEmail) throw new BadRequestError(`the body is not an ${EMAILS.kind} of ${GROUP}`);
  const { name, namespace = DEFAULT_NAMESPACE, uid } = record(object['metadata']) ?? {};
  if (name === undefined || name === '') throw new BadRequestError('metadata.name is missing');
  return { name: nameOf('name', name), namespace: nameOf('namespace', namespace), uid: typeof uid === 'string' && uid !== '' ? uid : null };
}

function isOfGroup(apiVersion: unknown): boolean {
  return typeof apiVersion === 'string' && apiVersion.startsWith(`${GROUP}/`);
}

function parsed(body: Uint8Array): unknown {
  if (!isUtf8(body)) return undefined;
  try {
    return JSON.parse(Buffer.from(body).toString());
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
}

function nameOf(field: string, value: unknown): string {
  if (typeof value !== 'string' || !OBJECT_NAME.test(value)) throw new BadRequestError(`metadata.${field} is not the name of an object`);
  return value;
}

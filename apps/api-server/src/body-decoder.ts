import { LineCounter, parseAllDocuments } from 'yaml';
import { DepthError, duplicateFields } from './json-duplicates.js';
import { JSON_TYPE, MEDIA_TYPES, YAML_TYPE } from './negotiation.js';
import { badRequest, tooLarge, unsupportedMediaType } from './status-answer.js';

export const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** YAML takes much longer to read, and nothing else is done meanwhile; a registration has a few kilobytes. */
const MAX_YAML_BYTES = 256 * 1024;
const MAX_ALIASES = 100;

export interface DecodedBody {
  readonly object: Readonly<Record<string, unknown>>;
  /** Fields that are there twice, as strict decoding complains of them. */
  readonly duplicates: readonly string[];
}

/**
 * The object in a body of JSON or YAML; without a content type it is the one that it looks like: `kubectl create --raw` sends files as they are.
 * Throws 400, 413 and 415. What is said of a body that cannot be read never shows any of it: it may be a password.
 */
export function decodeBody(body: Buffer, contentType: string | undefined): DecodedBody {
  const mediaType = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (mediaType !== '' && mediaType !== JSON_TYPE && mediaType !== YAML_TYPE) throw unsupportedMediaType(MEDIA_TYPES);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw badRequest('the body of the request is not UTF-8');
  }
  if (text.trim() === '') throw badRequest('the body of the request is empty');
  const isJson = mediaType === JSON_TYPE || (mediaType === '' && text.trimStart().startsWith('{'));
  const { value, duplicates } = isJson ? fromJson(text) : fromYaml(text, body.length);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badRequest('the body of the request is not an object');
  return { object: value as Record<string, unknown>, duplicates };
}

interface Parsed {
  readonly value: unknown;
  readonly duplicates: readonly string[];
}

function fromJson(text: string): Parsed {
  try {
    const value: unknown = JSON.parse(text);
    return { value, duplicates: duplicateFields(text).map((path) => `duplicate field "${path}"`) };
  } catch (error) {
    if (error instanceof DepthError) throw badRequest('the body of the request is nested too deeply');
    throw badRequest('the body of the request is not JSON');
  }
}

function fromYaml(text: string, bytes: number): Parsed {
  if (bytes > MAX_YAML_BYTES) throw tooLarge(MAX_YAML_BYTES);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const [document, another] = 'empty' in documents ? [] : documents;
  if (document === undefined) throw badRequest('the body of the request is empty');
  if (another !== undefined) throw badRequest('the body of the request has more than one YAML document');
  const lineOf = ([start]: readonly [number, number]): number => lines.linePos(start).line;
  const wrong = document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  if (wrong !== undefined) throw badRequest(`the body of the request is not YAML: line ${lineOf(wrong.pos)}`);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    throw badRequest('the body of the request is YAML that cannot be an object of Kubernetes');
  }
  const duplicates = document.errors.map(({ pos }) => {
    const key = /^[\w.-]{1,64}(?=\s*:)/.exec(text.slice(pos[0]))?.[0];
    return `line ${lineOf(pos)}: key ${key === undefined ? '' : `"${key}" `}already set in map`;
  });
  return { value, duplicates: duplicates.length === 0 ? [] : [`yaml: unmarshal errors:\n  ${duplicates.join('\n  ')}`] };
}

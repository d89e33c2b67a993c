// Writes JSON as Go's encoding/json does: keys in the order of their bytes, and the characters of HTML escaped unless told otherwise.

import { sprint } from '../format.js';
import { FunctionError } from '../template-function.js';
import {
  type Dictionary,
  elementOf,
  entryOf,
  isDictionary,
  isList,
  isNilCollection,
  type List,
  sortedKeys,
  type TypedValue,
  type Value,
} from '../value.js';
import { checkDepth } from './bounds.js';
import { GoTime } from './go-time.js';
import { NamedNumber } from './named-number.js';
import { SemanticVersion } from './semantic-version.js';

export interface JsonStyle {
  readonly escapesHtml: boolean;
  /** Spaces for each level; 0 is all on one line. */
  readonly indent: number;
}

/** Throws a FunctionError for what JSON has no text for. */
export function jsonOf(value: Value, style: JsonStyle): string {
  return written(value, style, 0);
}

function written(value: Value, style: JsonStyle, depth: number): string {
  checkDepth(depth);
  switch (typeof value) {
    case 'undefined':
      return 'null';
    case 'string':
      return quotedText(value, style);
    case 'number':
      return numberText(value);
    case 'object':
      if (value === null) return 'null';
      if (isList(value)) return isNilCollection(value) ? 'null' : writtenList(value, style, depth);
      if (isDictionary(value)) return writtenDictionary(value, style, depth);
      return value instanceof NamedNumber ? String(value.number) : quotedText(typedText(value), style);
    default:
      return String(value);
  }
}

function typedText(value: TypedValue): string {
  if (value instanceof GoTime) return value.format('2006-01-02T15:04:05.999999999Z07:00');
  if (value instanceof SemanticVersion) return value.toString();
  throw new FunctionError(`json: unsupported type: ${value.type}`);
}

function writtenList(list: List, style: JsonStyle, depth: number): string {
  const items = list.map((_, index) => written(elementOf(list, index), style, depth + 1));
  return bracketed(['[', ']'], items, { style, depth });
}

function writtenDictionary(map: Dictionary, style: JsonStyle, depth: number): string {
  const space = style.indent > 0 ? ' ' : '';
  const items = sortedKeys(map).map((key) => `${quotedText(key, style)}:${space}${written(entryOf(map, key), style, depth + 1)}`);
  return bracketed(['{', '}'], items, { style, depth });
}

function bracketed(
  [open, close]: readonly [string, string],
  items: readonly string[],
  { style, depth }: { readonly style: JsonStyle; readonly depth: number },
): string {
  if (items.length === 0) return open + close;
  if (style.indent === 0) return `${open}${items.join(',')}${close}`;
  const lineBreak = `\n${' '.repeat(style.indent * depth)}`;
  const inner = lineBreak + ' '.repeat(style.indent);
  return `${open}${inner}${items.join(`,${inner}`)}${lineBreak}${close}`;
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new FunctionError(`json: unsupported value: ${sprint([value])}`);
  return Object.is(value, -0) ? '-0' : String(value);
}

const ESCAPED = /[<>&\u2028\u2029]/g;
const ESCAPED_ALWAYS = /[\u2028\u2029]/g;

function quotedText(text: string, { escapesHtml }: JsonStyle): string {
  return JSON.stringify(text.toWellFormed()).replace(
    escapesHtml ? ESCAPED : ESCAPED_ALWAYS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

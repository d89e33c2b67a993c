import { FunctionError, type TemplateFunction } from '../template-function.js';
import type { Value } from '../value.js';
import { fixed } from './declaration.js';
import { readJson } from './json-reader.js';
import { jsonOf, type JsonStyle } from './json-writer.js';

const COMPACT: JsonStyle = { escapesHtml: true, indent: 0 };
const PRETTY: JsonStyle = { escapesHtml: true, indent: 2 };
const RAW: JsonStyle = { escapesHtml: false, indent: 0 };

export const JSON_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['toJson', fixed(['interface {}'], (value) => withDefault(() => jsonOf(value, COMPACT), ''))],
  ['mustToJson', fixed(['interface {}'], (value) => jsonOf(value, COMPACT))],
  ['toPrettyJson', fixed(['interface {}'], (value) => withDefault(() => jsonOf(value, PRETTY), ''))],
  ['mustToPrettyJson', fixed(['interface {}'], (value) => jsonOf(value, PRETTY))],
  ['toRawJson', fixed(['interface {}'], (value) => jsonOf(value, RAW))],
  ['mustToRawJson', fixed(['interface {}'], (value) => jsonOf(value, RAW))],
  ['fromJson', fixed(['string'], (text) => withDefault(() => readJson(text), null))],
  ['mustFromJson', fixed(['string'], readJson)],
]);

function withDefault(run: () => Value, fallback: Value): Value {
  try {
    return run();
  } catch (error) {
    if (error instanceof FunctionError) return fallback;
    throw error;
  }
}

import type { TemplateFunction } from '../template-function.js';
import { typeName } from '../value.js';
import { fixed } from './declaration.js';
import { isSame, kindOf } from './go-value.js';

export const REFLECTION_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['typeOf', fixed(['interface {}'], typeName)],
  ['typeIs', fixed(['string', 'interface {}'], (type, value) => type === typeName(value))],
  ['typeIsLike', fixed(['string', 'interface {}'], (type, value) => typeName(value) === type || typeName(value) === `*${type}`)],
  ['kindOf', fixed(['interface {}'], kindOf)],
  ['kindIs', fixed(['string', 'interface {}'], (kind, value) => kind === kindOf(value))],
  ['deepEqual', fixed(['interface {}', 'interface {}'], isSame)],
]);

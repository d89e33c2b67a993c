import { Integer } from '../integer.js';
import type { TemplateFunction } from '../template-function.js';
import { typeName, type Value } from '../value.js';
import { fixed } from './declaration.js';
import { isSame, kindOf } from './go-value.js';

export const REFLECTION_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['typeOf', seeing(fixed(['interface {}'], typeName))],
  ['typeIs', seeing(fixed(['string', 'interface {}'], (type, value) => type === typeName(value)))],
  ['typeIsLike', seeing(fixed(['string', 'interface {}'], (type, value) => typeName(value) === type || typeName(value) === `*${type}`))],
  ['kindOf', seeing(fixed(['interface {}'], kindOfTyped))],
  ['kindIs', seeing(fixed(['string', 'interface {}'], (kind, value) => kind === kindOfTyped(value)))],
  ['deepEqual', fixed(['interface {}', 'interface {}'], isSame)],
]);

/** These tell an int from an int64. */
function seeing(called: TemplateFunction): TemplateFunction {
  return { ...called, seesIntegerTypes: true };
}

function kindOfTyped(value: Value): string {
  return value instanceof Integer ? value.type : kindOf(value);
}

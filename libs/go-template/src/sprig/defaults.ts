import { FunctionError, type TemplateFunction } from '../template-function.js';
import { fixed, variadic } from './declaration.js';
import { isEmpty } from './go-value.js';

export const DEFAULT_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['default', variadic(['interface {}'], 'interface {}', (fallback, [value]) => (isEmpty(value) ? fallback : value))],
  ['empty', fixed(['interface {}'], isEmpty)],
  ['coalesce', variadic([], 'interface {}', (values) => values.find((value) => !isEmpty(value)))],
  ['all', variadic([], 'interface {}', (values) => !values.some(isEmpty))],
  ['any', variadic([], 'interface {}', (values) => !values.every(isEmpty))],
  ['ternary', fixed(['interface {}', 'interface {}', 'bool'], (yes, no, condition) => (condition ? yes : no))],
  [
    'fail',
    fixed(['string'], (message) => {
      throw new FunctionError(message);
    }),
  ],
]);

const FUNCTION_NAMES = [
  'and',
  'eq',
  'ge',
  'gt',
  'html',
  'index',
  'js',
  'le',
  'len',
  'lt',
  'ne',
  'not',
  'or',
  'print',
  'printf',
  'println',
  'slice',
  'urlquery',
] as const;

export type FunctionName = (typeof FUNCTION_NAMES)[number];

export function isFunction(name: string): name is FunctionName {
  return (FUNCTION_NAMES as readonly string[]).includes(name);
}

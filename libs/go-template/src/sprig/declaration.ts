// How a function of sprig is declared: the Go types of its parameters, from which the types of its arguments here follow.

import { FunctionError, type ParameterType, type TemplateFunction } from '../template-function.js';
import { GoTime } from './go-time.js';
import { type Dictionary, isDictionary, isList, type List, typeName, type Value } from '../value.js';

interface ArgumentTypes {
  'interface {}': Value;
  string: string;
  bool: boolean;
  int: bigint;
  int64: bigint;
  float64: number;
  '[]interface {}': List;
  '[]string': List;
  'map[string]interface {}': Dictionary;
  'time.Time': GoTime;
}

type Arguments<P extends readonly ParameterType[]> = { [Index in keyof P]: ArgumentTypes[P[Index]] };

/** A function of as many arguments as it has types. */
export function fixed<const P extends readonly ParameterType[]>(types: P, run: (...args: Arguments<P>) => Value): TemplateFunction {
  return {
    takes: types.length,
    isVariadic: false,
    types,
    run: (args) => run(...(types.map((type, place) => argument(args[place], type)) as unknown as Arguments<P>)),
  };
}

/** A function of some arguments and any number of further ones of one type, which are given as a list. */
export function variadic<const P extends readonly ParameterType[], R extends ParameterType>(
  types: P,
  rest: R,
  run: (...args: [...Arguments<P>, ArgumentTypes[R][]]) => Value,
): TemplateFunction {
  return {
    takes: types.length,
    isVariadic: true,
    types: [...types, rest],
    run: (args) => {
      const first = types.map((type, place) => argument(args[place], type)) as unknown as Arguments<P>;
      const others = args.slice(types.length).map((value) => argument(value, rest) as ArgumentTypes[R]);
      return run(...first, others);
    },
  };
}

/** The executor has checked the types; this tells the compiler. */
function argument(value: Value, type: ParameterType): Value {
  if (!fits(value, type)) throw new FunctionError(`wrong type for value; expected ${type}; got ${typeName(value)}`);
  return value;
}

function fits(value: Value, type: ParameterType): boolean {
  switch (type) {
    case 'interface {}':
      return true;
    case 'string':
      return typeof value === 'string';
    case 'bool':
      return typeof value === 'boolean';
    case 'int':
    case 'int64':
      return typeof value === 'bigint';
    case 'float64':
      return typeof value === 'number';
    case '[]interface {}':
    case '[]string':
      return isList(value);
    case 'map[string]interface {}':
      return isDictionary(value);
    case 'time.Time':
      return value instanceof GoTime;
  }
}

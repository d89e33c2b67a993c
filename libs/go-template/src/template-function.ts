import type { Value } from './value.js';

/** How many UTF-16 units a text may have that a function makes. What it reads and makes is charged to the template only when it has run. */
export const MAX_TEXT_LENGTH = 4 * 1024 * 1024;

/** What a function says of its arguments. */
export class FunctionError extends Error {}

/** The type of a parameter, by its name in Go. `int` and `int64` take the same values here. */
export type ParameterType =
  | 'interface {}'
  | 'string'
  | 'bool'
  | 'int'
  | 'int64'
  | 'float64'
  | '[]interface {}'
  | '[]string'
  | 'map[string]interface {}'
  | 'time.Time';

export interface TemplateFunction {
  /** How many arguments it takes, or takes at least. */
  readonly takes: number;
  readonly isVariadic: boolean;
  /**
   * The types of its parameters in Go; of a variadic function the last one is that of all further arguments. Where it says nothing, `interface {}`.
   * `run` is given only values of these types (a `string` is never nil; a `float64` is a number also where the template says `1`), anything else is
   * refused in Go's words and at the argument's place before.
   */
  readonly types?: readonly ParameterType[];
  /** It tells an `int` and an `uint8` from an `int64`: it is given them as `Integer`, which else are bigints like any other. */
  readonly seesIntegerTypes?: boolean;
  /** Its whole numbers are of the type `int` and no `int64`. */
  readonly returnsInt?: boolean;
  /** Undefined and null are Go's nil. Throws a FunctionError for what Go's function refuses. */
  run(args: readonly Value[]): Value;
}

import { Executor, isSpecialFunction, type Limits } from './executor.js';
import { GO_FUNCTIONS } from './functions.js';
import type { Statement } from './node.js';
import { parse } from './parser.js';
import { SPRIG_FUNCTIONS } from './sprig/index.js';
import type { TemplateFunction } from './template-function.js';

/** Sprig's come last: `slice` is its own. */
const FUNCTIONS = { go: GO_FUNCTIONS, sprig: new Map([...GO_FUNCTIONS, ...SPRIG_FUNCTIONS]) } as const;

const DEFAULT_LIMITS: Limits = { outputBytes: 1024 * 1024, steps: 200_000, milliseconds: 2000 };

/**
 * A template in the language of Go's text/template (1.26) with its option missingkey=error: what Go makes of it and the words in which Go refuses it
 * are the same here, but for these:
 *
 * - An `int64` is taken for a parameter that is an `int`, and an `int` for an `int64`, where Go wants a conversion. The functions of sprig make no
 *   difference between the two, but for those that name types; what they put into lists and maps is an `int64`.
 * - Texts are made of whole characters: a string constant whose bytes are no UTF-8 and a `slice` that cuts a character in two are refused.
 * - A list ends with its last element; in Go `slice` reaches as far beyond as the list has memory.
 * - `%p` shows a list or map as a verb that does not fit, since they have no addresses.
 * - Which characters are printable and which are letters is said by a later version of Unicode than Go's.
 * - No value is a function, so that `call` always fails, in Go's words.
 * - Execution is bounded, see {@link Template.execute}; blocks and parentheses may be nested 200 deep, and blocks and templates run 1000 deep within
 *   each other.
 */
export class Template {
  readonly #text: string;
  readonly #name: string;
  readonly #functions: ReadonlyMap<string, TemplateFunction>;
  readonly #templates: ReadonlyMap<string, readonly Statement[]>;

  private constructor(text: string, { name, functions }: { name: string; functions: ReadonlyMap<string, TemplateFunction> }) {
    this.#text = text;
    this.#name = name;
    this.#functions = functions;
    this.#templates = parse(text, { name, hasFunction: (word) => functions.has(word) || isSpecialFunction(word) });
  }

  /** Throws an Error in Go's words: `template: NAME:LINE: …`. */
  static parse(text: string, { name, functions = 'sprig' }: { readonly name: string; readonly functions?: 'go' | 'sprig' }): Template {
    return new Template(text, { name, functions: FUNCTIONS[functions] });
  }

  /**
   * The text for these values, which are such as JSON holds: a number is an int64 when it is whole and exact, else a float64; a bigint is an int64.
   * They are not changed. Throws an Error in Go's words (`template: NAME:LINE:COLUMN: executing "NAME" at <…>: …`) for what the values do not have, and
   * for what is beyond the limits: 1 MiB of output, 200 000 steps and two seconds, unless others are given.
   */
  execute(values: unknown, limits: Partial<Limits> = {}): string {
    return new Executor({
      text: this.#text,
      name: this.#name,
      templates: this.#templates,
      functions: this.#functions,
      data: values,
      limits: { ...DEFAULT_LIMITS, ...limits },
    }).run();
  }
}

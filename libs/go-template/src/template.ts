import { Executor } from './executor.js';
import type { Statement } from './node.js';
import { Parser } from './parser.js';
import { SPRIG_FUNCTIONS } from './sprig/index.js';
import type { TemplateFunction } from './template-function.js';

/**
 * A template in the language of Go's text/template, as far as one text without named parts needs it. What it does not have is refused when it is
 * parsed: `{{define}}`, `{{template}}`, `{{block}}`, functions beside Go's own (`call` is missing too), complex numbers, and most of printf.
 */
export class Template {
  readonly #text: string;
  readonly #name: string;
  readonly #functions: ReadonlyMap<string, TemplateFunction>;
  readonly #statements: readonly Statement[];

  private constructor(text: string, { name, functions }: { name: string; functions: ReadonlyMap<string, TemplateFunction> }) {
    this.#text = text;
    this.#name = name;
    this.#functions = functions;
    this.#statements = new Parser(text, { name, functions }).parse();
  }

  /** Throws an Error in Go's words: `template: NAME:LINE: …`. */
  static parse(text: string, { name, functions = 'sprig' }: { readonly name: string; readonly functions?: 'go' | 'sprig' }): Template {
    return new Template(text, { name, functions: functions === 'sprig' ? SPRIG_FUNCTIONS : new Map() });
  }

  /**
   * The text for these values, which are such as JSON holds. Throws an Error in Go's words (`template: NAME:LINE:COLUMN: executing "NAME" at <…>: …`)
   * for what the values do not have, and for a text of more than 1 MiB or 200 000 steps.
   */
  execute(values: unknown): string {
    return new Executor({ text: this.#text, name: this.#name, functions: this.#functions, data: values }).run(this.#statements);
  }
}

import { Executor } from './executor.js';
import type { Statement } from './node.js';
import { Parser } from './parser.js';

/**
 * A template in the language of Go's text/template, as far as one text without named parts needs it. What it does not have is refused when it is
 * parsed: `{{define}}`, `{{template}}`, `{{block}}`, functions beside Go's own (`call` is missing too), complex numbers, and most of printf.
 */
export class Template {
  readonly #text: string;
  readonly #name: string;
  readonly #statements: readonly Statement[];

  private constructor(text: string, name: string, statements: readonly Statement[]) {
    this.#text = text;
    this.#name = name;
    this.#statements = statements;
  }

  /** Throws an Error in Go's words: `template: NAME:LINE: …`. */
  static parse(text: string, { name }: { readonly name: string }): Template {
    return new Template(text, name, new Parser(text, name).parse());
  }

  /**
   * The text for these values, which are such as JSON holds. Throws an Error in Go's words (`template: NAME:LINE:COLUMN: executing "NAME" at <…>: …`)
   * for what the values do not have, and for a text of more than 1 MiB or 200 000 steps.
   */
  execute(values: unknown): string {
    return new Executor({ text: this.#text, name: this.#name, data: values }).run(this.#statements);
  }
}

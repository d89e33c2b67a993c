import type { TemplateCase } from './template-case.js';

/** Templates made by chance over data made by chance; a seed gives the same ones each time. */
export function randomCases(seed: number, count: number): TemplateCase[] {
  return Array.from({ length: count }, (_, place) => new TemplateMaker(seed * 1_000_003 + place).make());
}

const KEYS = ['a', 'b', 'c', 'd', 'é'];
const TEXTS = ['', 'x', 'hello', 'a b', 'żółw', '<&>', '"q"', '😀', '12', '%d', '\n', 'ÿ\u200b'];
const VERBS = 'vsdqtfgexXbcoUT';
const SPACES = ['', ' ', '\n', ' \n\t', '  '];

/** What is known of a value when the template is written. */
type Known = unknown;

function isMap(value: Known): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCollection(value: Known): boolean {
  return typeof value === 'object';
}

class TemplateMaker {
  #state: number;
  /** Of the templates that may be called. */
  #names: string[] = [];
  #variables: { name: string; value: Known }[] = [];
  #inRange = false;
  #depth = 0;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  make(): TemplateCase {
    const data = this.#map(3);
    const names = Array.from({ length: this.#below(3) }, (_, place) => `t${place}`);
    const defined = names.map((name, place) => {
      // Only templates that come later: none calls itself.
      this.#names = names.slice(place + 1);
      return `{{define "${name}"}}${this.#alone(() => this.#block(this.#value(2)))}{{end}}`;
    });
    this.#names = names;
    const template = defined.join(this.#of(SPACES)) + this.#alone(() => this.#block(data));
    return { template: this.#chance(0.12) ? this.#spoilt(template) : template, data };
  }

  /** Without the variables and the loop around. */
  #alone(make: () => string): string {
    const [variables, inRange] = [this.#variables, this.#inRange];
    this.#variables = [];
    this.#inRange = false;
    const text = make();
    this.#variables = variables;
    this.#inRange = inRange;
    return text;
  }

  #random(): number {
    // Mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #of<T = string>(items: readonly T[] | string): T {
    return items[this.#below(items.length)] as T;
  }

  #number(): number {
    return this.#of([0, 1, -1, 2, 3, 7, -98765, 0.5, 1.5, -2.25, 1e21, 1e-7, 3.14159, 123456.789]);
  }

  #value(depth: number): unknown {
    if (depth > 0 && this.#chance(0.3)) return this.#chance(0.5) ? this.#map(depth - 1) : this.#list(depth - 1);
    return this.#of<() => unknown>([
      () => this.#number(),
      () => this.#of(TEXTS),
      () => this.#chance(0.5),
      () => null,
      () => this.#below(5),
    ])();
  }

  #map(depth: number): Record<string, unknown> {
    return Object.fromEntries(KEYS.filter(() => this.#chance(0.7)).map((key) => [key, this.#value(depth)]));
  }

  #list(depth: number): unknown[] {
    return Array.from({ length: this.#below(4) }, () => this.#value(depth));
  }

  #block(dot: Known): string {
    const before = this.#variables.length;
    this.#depth++;
    const text = Array.from({ length: 1 + this.#below(4) }, () => this.#statement(dot)).join('');
    this.#depth--;
    this.#variables.length = Math.min(this.#variables.length, before);
    return text;
  }

  #action(content: string): string {
    const isTrimmed = (): boolean => this.#chance(0.1);
    return `{{${isTrimmed() ? '- ' : this.#of(['', ' '])}${content}${isTrimmed() ? ' -' : this.#of(['', ' '])}}}`;
  }

  #statement(dot: Known): string {
    const isDeep = this.#depth > 3;
    const kind = this.#below(isDeep ? 6 : 12);
    switch (kind) {
      case 0:
        return this.#of(SPACES) + this.#of(['text', 'żółw', '}', '{ ', '<b>']) + this.#of(SPACES);
      case 1:
      case 2:
      case 3:
        return this.#action(this.#pipeline(dot));
      case 4: {
        const name = `$${this.#of(KEYS)}`;
        const isKnown = this.#variables.some((variable) => variable.name === name);
        const text = this.#action(`${name} ${isKnown && this.#chance(0.6) ? '=' : ':='} ${this.#pipeline(dot)}`);
        this.#variables.push({ name, value: undefined });
        return text;
      }
      case 5:
        if (this.#inRange && this.#chance(0.3)) return this.#action(this.#of(['break', 'continue']));
        return this.#chance(0.5) ? this.#action(this.#pipeline(dot)) : '{{/* a\n comment */}}';
      case 6:
      case 7:
        return `${this.#action(`if ${this.#pipeline(dot)}`)}${this.#block(dot)}${this.#otherwise('if', dot)}{{end}}`;
      case 8: {
        const path = this.#path(dot);
        return `${this.#action(`with ${path.text}`)}${this.#block(path.value)}${this.#otherwise('with', dot)}{{end}}`;
      }
      case 9:
      case 10:
        return this.#range(dot);
      default:
        if (this.#names.length === 0) return this.#action(this.#pipeline(dot));
        return this.#action(`template "${this.#of(this.#names)}" ${this.#path(dot).text}`);
    }
  }

  #otherwise(kind: 'if' | 'with', dot: Known): string {
    if (this.#chance(0.4)) return '';
    if (this.#chance(0.3)) return `${this.#action(`else ${kind} ${this.#pipeline(dot)}`)}${this.#block(undefined)}`;
    return `${this.#action('else')}${this.#block(dot)}`;
  }

  #range(dot: Known): string {
    const isCount = this.#chance(0.2);
    const path: { text: string; value: Known } = isCount ? { text: String(this.#below(4)), value: [0] } : this.#path(dot, isCollection);
    const element: Known = typeof path.value === 'object' && path.value !== null ? Object.values(path.value)[0] : undefined;
    const before = this.#variables.length;
    const names = [`$${this.#of(KEYS)}`, `$${this.#of(KEYS)}`].slice(isCount && this.#chance(0.9) ? 1 + this.#below(2) : this.#below(3));
    const head = names.length === 0 ? '' : `${names.join(', ')} := `;
    this.#variables.push(...names.map((name) => ({ name, value: undefined })));
    const wasInRange = this.#inRange;
    this.#inRange = true;
    const body = this.#block(element);
    this.#inRange = wasInRange;
    this.#variables.length = before;
    const rest = this.#chance(0.4) ? `${this.#action('else')}${this.#block(dot)}` : '';
    return `${this.#action(`range ${head}${path.text}`)}${body}${rest}{{end}}`;
  }

  /** Mostly one that there is, and mostly one that fits. */
  #path(dot: Known, fits: (value: Known) => boolean = () => true): { text: string; value: Known } {
    for (let attempt = 1; ; attempt++) {
      const path = this.#anyPath(dot);
      if (attempt >= 8 || fits(path.value)) return path;
    }
  }

  #anyPath(dot: Known): { text: string; value: Known } {
    let value = dot;
    let text = '';
    while (isMap(value) && (text === '' || this.#chance(0.6))) {
      const keys = Object.keys(value);
      const key = keys.length === 0 || this.#chance(0.03) ? this.#of(KEYS) : this.#of(keys);
      text += `.${key}`;
      value = value[key];
    }
    return text === '' ? { text: '.', value } : { text, value };
  }

  #pipeline(dot: Known): string {
    const stages = [this.#command(dot)];
    while (this.#chance(0.25))
      stages.push(
        this.#of([
          'print',
          'html',
          'js',
          'urlquery',
          'not',
          'printf "%v"',
          'printf "%d"',
          'eq 1',
          'println',
          'printf "%5.2f|%[1]q"',
          'and 1',
          'or ""',
        ]),
      );
    return stages.join(this.#of([' | ', '|']));
  }

  #command(dot: Known): string {
    if (this.#chance(0.45)) return this.#operand(dot);
    switch (this.#below(9)) {
      case 0:
        return `print ${this.#operands(dot)}`;
      case 1:
        return `println ${this.#operands(dot)}`;
      case 2:
        return `printf ${this.#format()} ${this.#operands(dot)}`;
      case 3:
        return this.#comparison(dot);
      case 4:
        return `${this.#of(['and', 'or', 'html', 'js', 'urlquery'])} ${this.#operands(dot)}`;
      case 5:
        return this.#chance(0.5) ? `not ${this.#operand(dot)}` : `len ${this.#path(dot, isCollection).text}`;
      case 6:
      case 7:
        return this.#part(this.#path(dot, isCollection));
      default:
        return `printf ${this.#format()} ${this.#operand(dot)}`;
    }
  }

  #comparison(dot: Known): string {
    const name = this.#of(['eq', 'ne', 'lt', 'le', 'gt', 'ge']);
    if (this.#chance(0.2)) return `${name} ${this.#operand(dot)} ${this.#operand(dot)}`;
    const isOrdered = name !== 'eq' && name !== 'ne';
    const { text, value } = this.#path(dot, (one) => ['number', 'string'].includes(typeof one) || (!isOrdered && typeof one === 'boolean'));
    const other = typeof value === 'string' ? JSON.stringify(this.#of(TEXTS)) : Number.isInteger(value) ? String(this.#below(9)) : '1.5';
    return `${name} ${text} ${typeof value === 'boolean' ? 'true' : other}`;
  }

  /** Not of texts, whose bytes are no characters. */
  #part({ text, value }: { text: string; value: Known }): string {
    const place = String(this.#below(Array.isArray(value) && this.#chance(0.9) ? Math.max(value.length, 1) : 3));
    if (Array.isArray(value)) return this.#chance(0.4) ? `slice ${text} ${place}` : `index ${text} ${place}`;
    return isMap(value) ? `index ${text} "${this.#of(KEYS)}"` : `print ${text}`;
  }

  #format(): string {
    const directives = Array.from({ length: 1 + this.#below(3) }, () => {
      const flags = [...'-+# 0'].filter(() => this.#chance(0.15)).join('');
      const width = this.#of(['', '', '', '5', '12', '*']);
      const precision = this.#of(['', '', '', '.2', '.0', '.5', '.*']);
      const place = this.#of(['', '', '', '', '[1]', '[2]']);
      return `%${flags}${width}${precision}${place}${this.#of(VERBS)}`;
    });
    return JSON.stringify(directives.join(this.#of([' ', '|', 'é'])));
  }

  #operands(dot: Known): string {
    return Array.from({ length: 1 + this.#below(3) }, () => this.#operand(dot)).join(' ');
  }

  #operand(dot: Known): string {
    switch (this.#below(9)) {
      case 0:
        return this.#literal();
      case 1: {
        const [variable] = this.#variables.slice(-1 - this.#below(3));
        return variable === undefined ? '$' : variable.name;
      }
      case 2:
        return this.#depth > 6 ? '.' : this.#parenthesized(dot);
      case 3:
        return '.';
      default:
        return this.#path(dot).text;
    }
  }

  #parenthesized(dot: Known): string {
    this.#depth++;
    const text = `(${this.#pipeline(dot)})`;
    this.#depth--;
    return text;
  }

  #literal(): string {
    return this.#of<() => string>([
      () => String(this.#below(100)),
      () => String(this.#number()),
      () => JSON.stringify(this.#of(TEXTS)),
      () => `\`${this.#of<string>(TEXTS)}\``,
      () => this.#of(['true', 'false', 'nil', "'x'", '0x1F', '1_000', '1i', '0.0', '1e3']),
    ])();
  }

  /** One character less, more or another. */
  #spoilt(template: string): string {
    const characters = [...template];
    const place = this.#below(characters.length);
    characters.splice(
      place,
      this.#below(2),
      this.#of(['', '{', '}', '(', ')', '|', '"', '.', '$', ' ', '-', 'x', '\n', ':', '=', ',', '1', '`', "'", '/*']),
    );
    return characters.join('');
  }
}

// Reads JSON as Go's encoding/json does into an `interface {}`: every number is a float64. What is wrong is said in Go's words.

import { quoted } from '../quote.js';
import { FunctionError } from '../template-function.js';
import { made, type Value } from '../value.js';
import { checkItems } from './bounds.js';

/** Lists and maps within each other; Go reads ten times as many. */
const MAX_DEPTH = 1000;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const PLAIN_TEXT = /[^"\\\0-\x1f]*/y;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

export function readJson(text: string): Value {
  const reader = new JsonReader(text.toWellFormed());
  return reader.read();
}

class JsonReader {
  readonly #text: string;
  #position = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Value {
    const value = this.#value('looking for beginning of value');
    this.#skipSpace();
    if (this.#position < this.#text.length) this.#fail('after top-level value');
    return value;
  }

  #value(context: string): Value {
    this.#skipSpace();
    const start = this.#peek();
    switch (start) {
      case '{':
        return this.#nested(() => this.#dictionary());
      case '[':
        return this.#nested(() => this.#list());
      case '"':
        return this.#quoted();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        return /^[-0-9]$/.test(start) ? this.#number() : this.#fail(context);
    }
  }

  #nested<T>(read: () => T): T {
    this.#depth++;
    if (this.#depth > MAX_DEPTH) throw new FunctionError('exceeded max depth');
    this.#position++;
    const value = read();
    this.#depth--;
    return value;
  }

  #dictionary(): Value {
    const map = made(Object.create(null) as Record<string, Value>);
    this.#skipSpace();
    if (this.#take('}')) return map;
    for (;;) {
      this.#skipSpace();
      if (this.#peek() !== '"') this.#fail('looking for beginning of object key string');
      const key = this.#quoted();
      this.#skipSpace();
      if (!this.#take(':')) this.#fail('after object key');
      map[key] = this.#value('looking for beginning of value');
      this.#skipSpace();
      if (this.#take('}')) return map;
      if (!this.#take(',')) this.#fail('after object key:value pair');
    }
  }

  #list(): Value {
    const list: Value[] = made([]);
    this.#skipSpace();
    if (this.#take(']')) return list;
    for (;;) {
      list.push(this.#value('looking for beginning of value'));
      checkItems(list.length);
      this.#skipSpace();
      if (this.#take(']')) return list;
      if (!this.#take(',')) this.#fail('after array element');
    }
  }

  #quoted(): string {
    this.#position++;
    let value = '';
    for (;;) {
      PLAIN_TEXT.lastIndex = this.#position;
      const plain = PLAIN_TEXT.exec(this.#text)?.[0] ?? '';
      value += plain;
      this.#position += plain.length;
      if (this.#take('"')) return value.toWellFormed();
      if (!this.#take('\\')) this.#fail('in string literal');
      value += this.#escape();
    }
  }

  #escape(): string {
    const letter = this.#peek();
    const character = ESCAPES[letter];
    if (character !== undefined) {
      this.#position++;
      return character;
    }
    if (letter !== 'u') this.#failWithin('in string escape code');
    this.#position++;
    const start = this.#position;
    while (this.#position < start + 4) {
      if (!/^[0-9a-fA-F]$/.test(this.#peek())) this.#failWithin('in \\u hexadecimal character escape');
      this.#position++;
    }
    return String.fromCharCode(Number.parseInt(this.#text.slice(start, start + 4), 16));
  }

  #literal<T extends boolean | null>(name: string, value: T): T {
    for (const letter of name) {
      if (!this.#take(letter)) this.#failWithin(`in literal ${name} (expecting ${shown(letter)})`);
    }
    return value;
  }

  #number(): number {
    NUMBER.lastIndex = this.#position;
    const text = NUMBER.exec(this.#text)?.[0] ?? '';
    this.#position += text.length;
    this.#checkEndOfNumber(text);
    const value = Number(text);
    if (!Number.isFinite(value)) throw new FunctionError(`json: cannot unmarshal number ${text} into Go value of type float64`);
    return value;
  }

  /** A number that breaks off, such as `1.` or `-`. */
  #checkEndOfNumber(text: string): void {
    if (text === '') {
      this.#position++;
      this.#failWithin('in numeric literal');
    }
    const isFraction = this.#peek() === '.' && !/[.eE]/.test(text);
    const isExponent = /^[eE]$/.test(this.#peek()) && !/[eE]/.test(text);
    if (!isFraction && !isExponent) return;
    this.#position++;
    if (isExponent && /^[+-]$/.test(this.#peek())) this.#position++;
    this.#failWithin(isFraction ? 'after decimal point in numeric literal' : 'in exponent of numeric literal');
  }

  #skipSpace(): void {
    while (/^[ \t\r\n]$/.test(this.#peek())) this.#position++;
  }

  /** Empty at the end. */
  #peek(): string {
    return this.#text[this.#position] ?? '';
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#position++;
    return true;
  }

  #fail(context: string): never {
    if (this.#position >= this.#text.length) throw new FunctionError('unexpected end of JSON input');
    const character = Buffer.from(String.fromCodePoint(this.#text.codePointAt(this.#position) ?? 0))
      .toString('latin1')
      .charAt(0);
    throw new FunctionError(`invalid character ${shown(character)} ${context}`);
  }

  /** Where no space may be: Go looks whether the text ends well by reading one more space. */
  #failWithin(context: string): never {
    if (this.#position >= this.#text.length) throw new FunctionError(`invalid character ' ' ${context}`);
    return this.#fail(context);
  }
}

function shown(character: string): string {
  if (character === "'") return `'\\''`;
  return character === '"' ? `'"'` : `'${quoted(character).slice(1, -1)}'`;
}

// Go's package fmt for the values of a template.

import { Complex } from './complex.js';
import { formatFloat, type FloatVerb } from './float.js';
import { Integer, withoutIntegerType } from './integer.js';
import { isPrintable, quoted, quotedAscii, quotedRune, quotedRuneAscii } from './quote.js';
import { FunctionError, MAX_TEXT_LENGTH } from './template-function.js';
import {
  type Dictionary,
  elementOf,
  entryOf,
  isDictionary,
  isList,
  isNilCollection,
  MAX_DEPTH,
  type List,
  sortedKeys,
  typeName,
  TypedValue,
  type Value,
} from './value.js';

/** Go takes a longer width or precision for a mistake. */
const MAX_WIDTH = 1_000_000;

/** A bracket that is not closed within so many characters is never looked for further. */
const MAX_INDEX_LENGTH = 1024;

/** One directive of a format. */
interface Directive {
  readonly verb: string;
  readonly isLeft: boolean;
  readonly hasPlus: boolean;
  readonly isSharp: boolean;
  readonly hasSpace: boolean;
  readonly isZeroPadded: boolean;
  /** `%#v`. */
  readonly isGoSyntax: boolean;
  readonly width: number;
  /** Null: as much as there is. */
  readonly precision: number | null;
}

const PLAIN: Directive = {
  verb: 'v',
  isLeft: false,
  hasPlus: false,
  isSharp: false,
  hasSpace: false,
  isZeroPadded: false,
  isGoSyntax: false,
  width: 0,
  precision: null,
};

/** `fmt.Sprintf`, with its way to show what does not fit. A FunctionError: the text is longer than a function may make. */
export function sprintf(format: string, values: readonly Value[]): string {
  return new FormatReader(format, values).read();
}

/** `fmt.Sprint`: a space between two that are both no strings. */
export function sprint(values: readonly Value[]): string {
  const printer = new Printer();
  return values
    .map((value, index) => {
      const needsSpace = index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string';
      return `${needsSpace ? ' ' : ''}${printer.print(value, PLAIN)}`;
    })
    .join('');
}

/** `fmt.Sprintln` */
export function sprintln(values: readonly Value[]): string {
  const printer = new Printer();
  return `${values.map((value) => printer.print(value, PLAIN)).join(' ')}\n`;
}

/** A value as an action prints it. */
export function printed(value: Value): string {
  return isNil(value) ? '<no value>' : new Printer().print(value, PLAIN);
}

function isNil(value: Value): value is null | undefined {
  return value === null || value === undefined;
}

/** Goes through a format as Go's fmt/print.go (1.26) does. */
class FormatReader {
  readonly #format: string;
  readonly #values: readonly Value[];
  readonly #printer = new Printer();
  readonly #made: string[] = [];
  /** Index in the format. */
  #place = 0;
  /** Index of the value that comes next. */
  #next = 0;
  /** The format names values by their numbers: then it does not matter that some are left over. */
  #isReordered = false;
  /** The numbers in this directive are such as there are. */
  #isGoodIndex = true;

  constructor(format: string, values: readonly Value[]) {
    this.#format = format;
    this.#values = values;
  }

  read(): string {
    while (this.#place < this.#format.length) {
      const percent = this.#format.indexOf('%', this.#place);
      const end = percent < 0 ? this.#format.length : percent;
      this.#made.push(this.#format.slice(this.#place, end));
      this.#place = end + 1;
      if (percent >= 0) this.#directive();
    }
    if (!this.#isReordered && this.#next < this.#values.length) {
      const extra = this.#values
        .slice(this.#next)
        .map((value) => (isNil(value) ? '<nil>' : `${typeName(value)}=${this.#printer.print(value, PLAIN)}`));
      this.#made.push(`%!(EXTRA ${extra.join(', ')})`);
    }
    return this.#made.join('');
  }

  #directive(): void {
    this.#isGoodIndex = true;
    const flags = this.#run(/[#0+\- ]*/y);
    let isLeft = flags.includes('-');
    let isZeroPadded = flags.includes('0');

    let isAfterIndex = this.#index();
    let width = 0;
    if (this.#at('*')) {
      width = this.#valueAsNumber('%!(BADWIDTH)') ?? 0;
      if (width < 0) {
        width = -width;
        isLeft = true;
        isZeroPadded = false;
      }
      isAfterIndex = false;
    } else {
      const number = this.#number();
      width = number ?? 0;
      if (isAfterIndex && number !== null) this.#isGoodIndex = false;
    }

    let precision: number | null = null;
    if (this.#place + 1 < this.#format.length && this.#at('.')) {
      if (isAfterIndex) this.#isGoodIndex = false;
      isAfterIndex = this.#index();
      if (this.#at('*')) {
        precision = this.#valueAsNumber('%!(BADPREC)', 0);
        isAfterIndex = false;
      } else precision = this.#number() ?? 0;
    }
    if (!isAfterIndex) this.#index();

    const code = this.#format.codePointAt(this.#place);
    if (code === undefined) {
      this.#made.push('%!(NOVERB)');
      return;
    }
    const verb = String.fromCodePoint(code);
    this.#place += verb.length;
    if (verb === '%') this.#made.push('%');
    else if (!this.#isGoodIndex) this.#made.push(`%!${verb}(BADINDEX)`);
    else if (this.#next >= this.#values.length) this.#made.push(`%!${verb}(MISSING)`);
    else {
      // These two verbs have meanings of their own for + and #.
      const isValue = verb === 'v' || verb === 'w';
      const directive = {
        verb,
        isLeft,
        hasPlus: flags.includes('+') && !isValue,
        isSharp: flags.includes('#') && !isValue,
        hasSpace: flags.includes(' '),
        isZeroPadded,
        isGoSyntax: flags.includes('#') && isValue,
        width,
        precision,
      };
      this.#made.push(this.#printer.print(this.#values[this.#next++], directive));
    }
  }

  #at(character: string): boolean {
    if (this.#format.charAt(this.#place) !== character) return false;
    this.#place++;
    return true;
  }

  /** A number of a value in brackets: true when one stands here. */
  #index(): boolean {
    if (this.#format.charAt(this.#place) !== '[') return false;
    this.#isReordered = true;
    const rest = this.#format.slice(this.#place, this.#place + MAX_INDEX_LENGTH);
    const close = rest.length < 3 ? -1 : rest.indexOf(']');
    const digits = close < 0 ? null : /^\d+$/.exec(rest.slice(1, close))?.[0];
    this.#place += close < 0 ? 1 : close + 1;
    const number = digits === null || digits === undefined || isTooLong(digits) ? null : Number(digits);
    if (number !== null && number >= 1 && number <= this.#values.length) this.#next = number - 1;
    else this.#isGoodIndex = false;
    return number !== null;
  }

  /** Null: there is none. One that is far too large takes the rest of the format with it. */
  #number(): number | null {
    const digits = this.#run(/\d*/y);
    if (isTooLong(digits)) {
      this.#place = this.#format.length;
      return null;
    }
    return digits === '' ? null : Number(digits);
  }

  /** What stands here of these characters. */
  #run(characters: RegExp): string {
    characters.lastIndex = this.#place;
    const run = characters.exec(this.#format)?.[0] ?? '';
    this.#place += run.length;
    return run;
  }

  /** The next value, as a width or a precision; one that is none is shown as `bad`. */
  #valueAsNumber(bad: string, least = -MAX_WIDTH): number | null {
    const value = withoutIntegerType(this.#values[this.#next]);
    if (this.#next < this.#values.length) this.#next++;
    if (typeof value === 'bigint' && value >= BigInt(least) && value <= BigInt(MAX_WIDTH)) return Number(value);
    this.#made.push(bad);
    return null;
  }
}

/** Go stops to read a number once it is above a million. */
function isTooLong(digits: string): boolean {
  return Number(digits.slice(0, -1)) > MAX_WIDTH;
}

/** Shows values; all that one of these makes is no longer than a function's text may be. */
class Printer {
  #left = MAX_TEXT_LENGTH;
  #depth = 0;

  print(value: Value, directive: Directive): string {
    const { verb } = directive;
    if (isNil(value)) return verb === 'v' || verb === 'T' ? this.#padded('<nil>', directive) : `%!${verb}(<nil>)`;
    if (verb === 'T') return this.#padded(cut(typeName(value), directive.precision), directive);
    if (verb === 'p') return this.#misfit(value, directive);
    if (verb === 'w' && (isList(value) || isDictionary(value))) return this.#misfit(value, directive);
    return this.#shown(value, directive);
  }

  #shown(value: Exclude<Value, null | undefined>, directive: Directive): string {
    switch (typeof value) {
      case 'string':
        return this.#string(value, directive);
      case 'bigint':
        return this.#integer(value, directive);
      case 'number':
        return this.#float(value, directive);
      case 'boolean':
        return directive.verb === 't' || directive.verb === 'v' ? this.#padded(String(value), directive) : this.#misfit(value, directive);
      default:
        if (value instanceof Integer) return this.#integer(value.value, directive, value);
        if (value instanceof Complex) return this.#complex(value, directive);
        if (value instanceof TypedValue) {
          return 'vsxXq'.includes(directive.verb) ? this.#string(String(value), directive) : this.#misfit(value, directive);
        }
        return isList(value) ? this.#list(value, directive) : this.#map(value, directive);
    }
  }

  #list(list: List, directive: Directive): string {
    const elements = this.#nested(() => list.map((_, index) => this.#inside(elementOf(list, index), directive)));
    return directive.isGoSyntax ? goSyntax(list, elements) : `[${elements.join(' ')}]`;
  }

  #map(map: Dictionary, directive: Directive): string {
    const entries = this.#nested(() =>
      sortedKeys(map).map((key) => `${this.#string(key, directive)}:${this.#inside(entryOf(map, key), directive)}`),
    );
    return directive.isGoSyntax ? goSyntax(map, entries) : `map[${entries.join(' ')}]`;
  }

  /** Inside of lists and maps nil is shown by every verb, and never padded. */
  #inside(value: Value, directive: Directive): string {
    if (!isNil(value)) return this.#shown(value, directive);
    return directive.isGoSyntax ? 'interface {}(nil)' : '<nil>';
  }

  #nested<T>(show: () => T): T {
    if (this.#depth >= MAX_DEPTH) throw new FunctionError(`lists and maps are nested deeper than ${MAX_DEPTH} levels`);
    this.#depth++;
    const shown = show();
    this.#depth--;
    return shown;
  }

  /** A value that its verb is not for. */
  #misfit(value: Value, directive: Directive): string {
    return `%!${directive.verb}(${typeName(value)}=${this.print(value, { ...directive, verb: 'v' })})`;
  }

  #string(value: string, directive: Directive): string {
    switch (directive.verb) {
      case 'v':
        return directive.isGoSyntax ? this.#quotedString(value, directive) : this.#padded(cut(value, directive.precision), directive);
      case 's':
        return this.#padded(cut(value, directive.precision), directive);
      case 'q':
        return this.#quotedString(value, directive);
      case 'x':
      case 'X':
        return this.#bytes(value, directive);
      default:
        return this.#misfit(value, directive);
    }
  }

  #quotedString(value: string, directive: Directive): string {
    const text = cut(value, directive.precision);
    const canBeRaw = directive.isSharp && !/[\0-\x08\x0a-\x1f\x7f`\ufeff]/.test(text);
    return this.#padded(canBeRaw ? `\`${text}\`` : directive.hasPlus ? quotedAscii(text) : quoted(text), directive);
  }

  #bytes(value: string, directive: Directive): string {
    const all = Buffer.from(value);
    const bytes = all.subarray(0, directive.precision ?? all.length);
    if (bytes.length === 0) return this.#padded('', directive);
    const pairs = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'));
    const prefix = directive.isSharp ? '0x' : '';
    const text = prefix + (directive.hasSpace ? pairs.join(` ${prefix}`) : pairs.join(''));
    return this.#padded(directive.verb === 'X' ? text.toUpperCase() : text, directive);
  }

  /** The type of `typed` is the one that a misfit names. */
  #integer(value: bigint, directive: Directive, typed: Value = value): string {
    switch (directive.verb) {
      case 'v':
        if (directive.isGoSyntax && typed instanceof Integer && typed.type === 'uint8')
          return this.#inBase(value, 16, { ...directive, isSharp: true });
        return this.#inBase(value, 10, directive);
      case 'd':
        return this.#inBase(value, 10, directive);
      case 'b':
        return this.#inBase(value, 2, directive);
      case 'o':
      case 'O':
        return this.#inBase(value, 8, directive);
      case 'x':
      case 'X':
        return this.#inBase(value, 16, directive);
      case 'c':
        return this.#padded(characterOf(value), directive);
      case 'q':
        return this.#padded(directive.hasPlus ? quotedRuneAscii(characterOf(value)) : quotedRune(characterOf(value)), directive);
      case 'U':
        return this.#unicode(value, directive);
      default:
        return this.#misfit(typed, directive);
    }
  }

  #inBase(value: bigint, base: 2 | 8 | 10 | 16, directive: Directive): string {
    const unpadded = { ...directive, isZeroPadded: false };
    const { precision, width, verb } = directive;
    if (precision === 0 && value === 0n) return this.#padded('', unpadded);
    const sign = value < 0n ? '-' : directive.hasPlus ? '+' : directive.hasSpace ? ' ' : '';
    const least = precision ?? (directive.isZeroPadded && !directive.isLeft ? width - sign.length : 0);
    const digits = (value < 0n ? -value : value).toString(base).padStart(least, '0');
    const prefix = verb === 'O' ? '0o' : directive.isSharp ? prefixOf(base, digits) : '';
    const text = `${directive.isSharp && verb === 'O' && !digits.startsWith('0') ? '0o0' : prefix}${digits}`;
    return this.#padded(sign + (verb === 'X' ? text.toUpperCase() : text), unpadded);
  }

  #unicode(value: bigint, directive: Directive): string {
    const code = BigInt.asUintN(64, value);
    const digits = code
      .toString(16)
      .toUpperCase()
      .padStart(Math.max(directive.precision ?? 0, 4), '0');
    const character = characterOf(value);
    const isShown = directive.isSharp && BigInt(character.codePointAt(0) ?? 0) === code && isPrintable(character);
    return this.#padded(`U+${digits}${isShown ? ` '${character}'` : ''}`, { ...directive, isZeroPadded: false });
  }

  #float(value: number, directive: Directive): string {
    const { verb } = directive;
    switch (verb) {
      case 'v':
        return this.#floatBy('g', -1, value, directive);
      case 'b':
      case 'g':
      case 'G':
      case 'x':
      case 'X':
        return this.#floatBy(verb, -1, value, directive);
      case 'e':
      case 'E':
      case 'f':
        return this.#floatBy(verb, 6, value, directive);
      case 'F':
        return this.#floatBy('f', 6, value, directive);
      default:
        return this.#misfit(value, directive);
    }
  }

  #floatBy(verb: FloatVerb, standard: number, value: number, directive: Directive): string {
    const precision = directive.precision ?? standard;
    const made = formatFloat(value, verb, precision);
    const signed = /^[+-]/.test(made) ? made : `+${made}`;
    const isPlusShown = directive.hasPlus || directive.hasSpace;
    const sign = signed.startsWith('-') ? '-' : directive.hasPlus ? '+' : directive.hasSpace ? ' ' : '';
    if (!Number.isFinite(value)) {
      // An infinity keeps its plus; what is no number has one only when it is asked for.
      const shown = Number.isNaN(value) || isPlusShown ? sign : signed.charAt(0);
      return this.#padded(shown + signed.slice(1), { ...directive, isZeroPadded: false });
    }
    const unsigned = directive.isSharp && verb !== 'b' ? withPoint(signed.slice(1), verb, precision) : signed.slice(1);
    if (!directive.isZeroPadded || directive.isLeft) return this.#padded(sign + unsigned, directive);
    return sign + this.#padded(unsigned, { ...directive, width: directive.width - sign.length });
  }

  #complex(value: Complex, directive: Directive): string {
    if (!'vbgGxXfFeE'.includes(directive.verb)) return this.#misfit(value, directive);
    const imaginary = this.#float(value.imaginary, { ...directive, hasPlus: true });
    return `(${this.#float(value.real, directive)}${imaginary}i)`;
  }

  #padded(text: string, { width, isLeft, isZeroPadded }: Directive): string {
    const missing = width > 0 ? Math.max(0, width - lengthInRunes(text)) : 0;
    this.#left -= text.length + missing;
    if (this.#left < 0) throw new FunctionError(`the text is longer than ${MAX_TEXT_LENGTH} characters`);
    if (isLeft) return text + ' '.repeat(missing);
    return (isZeroPadded ? '0' : ' ').repeat(missing) + text;
  }
}

function goSyntax(value: List | Dictionary, items: readonly string[]): string {
  return typeName(value) + (isNilCollection(value) ? '(nil)' : `{${items.join(', ')}}`);
}

function prefixOf(base: 2 | 8 | 10 | 16, digits: string): string {
  switch (base) {
    case 2:
      return '0b';
    case 8:
      return digits.startsWith('0') ? '' : '0';
    case 10:
      return '';
    case 16:
      return '0x';
  }
}

/** What `#` adds to a float: a point, and the zeros at the end that %g leaves out. */
function withPoint(text: string, verb: FloatVerb, precision: number): string {
  const isHex = verb === 'x' || verb === 'X';
  const [, number = '', tail = ''] = (isHex ? /^([^pP]*)(.*)$/ : /^([^eE]*)(.*)$/).exec(text) ?? [];
  const wished = verb === 'g' || verb === 'G' || verb === 'x' ? (precision < 0 ? 6 : precision) : 0;
  // Digits count from the first that is no zero; of a hexadecimal number the x is taken for one.
  const counted = number.replace('.', '').replace(/^0+/, '').length + (/^0$/.test(number) ? 1 : 0);
  return number + (number.includes('.') ? '' : '.') + '0'.repeat(Math.max(0, wished - counted)) + tail;
}

/** U+FFFD for a number that is no character. */
function characterOf(code: bigint): string {
  const isCharacter = code >= 0n && code <= 0x10ffffn && !(code >= 0xd800n && code <= 0xdfffn);
  return String.fromCodePoint(isCharacter ? Number(code) : 0xfffd);
}

function cut(text: string, runes: number | null): string {
  if (runes === null || text.length <= runes) return text;
  let end = 0;
  for (let count = 0; count < runes && end < text.length; count++) end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
  return text.slice(0, end);
}

function lengthInRunes(text: string): number {
  let count = 0;
  for (let index = 0; index < text.length; count++) index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
  return count;
}

// The tokens of a template, cut as Go's text/template/parse/lex.go (1.26) cuts them, so that messages name the same things.

import { quoted } from './quote.js';
import { isKeyword, type Token, type TokenType } from './token.js';

const LEFT = '{{';
const RIGHT = '}}';
const COMMENT_START = '/*';
const COMMENT_END = '*/';
const END = '';

export class Lexer {
  readonly #input: string;
  #position = 0;
  #start = 0;
  /** Of what lies before `#counted`. */
  #line = 1;
  #counted = 0;
  #isInAction = false;
  #parens = 0;

  constructor(input: string) {
    this.#input = input;
  }

  /** After an `error` or the `end of text` there is nothing more to ask for. */
  next(): Token {
    for (;;) {
      const token = this.#isInAction ? this.#inAction() : this.#inText();
      if (token !== null) return token;
    }
  }

  /** Null: a comment was passed over. */
  #inText(): Token | null {
    const opening = this.#input.indexOf(LEFT, this.#position);
    if (opening < 0) {
      this.#position = this.#input.length;
      return this.#position > this.#start ? this.#emit('text') : this.#emit('end of text');
    }
    if (opening > this.#start) {
      const isTrimmed = /^-[ \t\r\n]/.test(this.#input.slice(opening + LEFT.length, opening + LEFT.length + 2));
      const text = this.#input.slice(this.#start, opening);
      this.#position = this.#start + (isTrimmed ? lengthWithoutSpace(text) : text.length);
      const token = this.#position > this.#start ? this.#emit('text') : null;
      this.#position = opening;
      this.#start = opening;
      if (token !== null) return token;
    }
    return this.#leftDelimiter();
  }

  #leftDelimiter(): Token | null {
    this.#position += LEFT.length;
    const afterMarker = /^-[ \t\r\n]/.test(this.#input.slice(this.#position, this.#position + 2)) ? 2 : 0;
    if (this.#input.startsWith(COMMENT_START, this.#position + afterMarker)) {
      this.#position += afterMarker;
      this.#start = this.#position;
      return this.#comment();
    }
    const token = this.#emit('left delimiter');
    this.#isInAction = true;
    this.#parens = 0;
    this.#position += afterMarker;
    this.#start = this.#position;
    return token;
  }

  #comment(): Token | null {
    const end = this.#input.indexOf(COMMENT_END, this.#position + COMMENT_START.length);
    if (end < 0) return this.#error('unclosed comment');
    this.#position = end + COMMENT_END.length;
    const { isHere, isTrimmed } = this.#rightDelimiterHere();
    if (!isHere) return this.#error('comment ends before closing delimiter');
    this.#position += (isTrimmed ? 2 : 0) + RIGHT.length;
    if (isTrimmed) this.#skipSpace();
    this.#start = this.#position;
    return null;
  }

  #rightDelimiterHere(): { isHere: boolean; isTrimmed: boolean } {
    const isTrimmed = /^[ \t\r\n]-\}\}/.test(this.#input.slice(this.#position, this.#position + 4));
    return { isHere: isTrimmed || this.#input.startsWith(RIGHT, this.#position), isTrimmed };
  }

  #rightDelimiter(): Token {
    const { isTrimmed } = this.#rightDelimiterHere();
    if (isTrimmed) {
      this.#position += 2;
      this.#start = this.#position;
    }
    this.#position += RIGHT.length;
    const token = this.#emit('right delimiter');
    if (isTrimmed) {
      this.#skipSpace();
      this.#start = this.#position;
    }
    this.#isInAction = false;
    return token;
  }

  #inAction(): Token {
    if (this.#rightDelimiterHere().isHere) {
      return this.#parens === 0 ? this.#rightDelimiter() : this.#error('unclosed left paren');
    }
    const rune = this.#peek();
    if (rune === END) return this.#error('unclosed action');
    if (isSpace(rune)) return this.#space();
    if (/[0-9+-]/.test(rune) || (rune === '.' && /^[0-9]?$/.test(this.#input.charAt(this.#position + 1)))) return this.#number();
    if (isAlphaNumeric(rune)) return this.#identifier();
    this.#position += rune.length;
    switch (rune) {
      case '=':
        return this.#emit('assign');
      case ':':
        if (this.#peek() !== '=') return this.#error('expected :=');
        this.#position++;
        return this.#emit('declare');
      case '|':
        return this.#emit('pipe');
      case '"':
        return this.#quote('"', 'string', 'unterminated quoted string');
      case "'":
        return this.#quote("'", 'char constant', 'unterminated character constant');
      case '`':
        return this.#rawQuote();
      case '$':
        return this.#fieldOrVariable('variable', 'variable');
      case '.':
        return this.#fieldOrVariable('field', 'dot');
      case '(':
        this.#parens++;
        return this.#emit('left paren');
      case ')':
        this.#parens--;
        return this.#parens < 0 ? this.#error('unexpected right paren') : this.#emit('right paren');
      default:
        if (/^[\x20-\x7e]$/.test(rune)) return this.#emit('char');
        return this.#error(`unrecognized character in action: ${shownRune(rune)}`);
    }
  }

  /** A trimming right delimiter begins with a space of its own, which is not part of the run. */
  #space(): Token {
    let count = 0;
    while (isSpace(this.#peek())) {
      this.#position++;
      count++;
    }
    this.#position--;
    if (!this.#rightDelimiterHere().isTrimmed) this.#position++;
    else if (count === 1) return this.#rightDelimiter();
    return this.#emit('space');
  }

  #identifier(): Token {
    this.#skipWord();
    const word = this.#input.slice(this.#start, this.#position);
    if (!this.#isTerminated()) return this.#error(`bad character ${shownRune(this.#peek())}`);
    if (isKeyword(word)) return this.#emit(word);
    return this.#emit(word === 'true' || word === 'false' ? 'bool' : 'identifier');
  }

  #fieldOrVariable(type: TokenType, bare: TokenType): Token {
    if (this.#isTerminated()) return this.#emit(bare);
    this.#skipWord();
    return this.#isTerminated() ? this.#emit(type) : this.#error(`bad character ${shownRune(this.#peek())}`);
  }

  /** What may follow a word. */
  #isTerminated(): boolean {
    const rune = this.#peek();
    return rune === END || isSpace(rune) || '.,|:)('.includes(rune) || this.#input.startsWith(RIGHT, this.#position);
  }

  #number(): Token {
    const number =
      /^[+-]?(?:0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*\.?[0-7_]*|0[bB][01_]*\.?[01_]*|[0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9_]*)?)i?/;
    const scan = (): boolean => {
      this.#position += number.exec(this.#input.slice(this.#position))?.[0].length ?? 0;
      if (!isAlphaNumeric(this.#peek())) return true;
      this.#position += this.#peek().length;
      return false;
    };
    const bad = (): Token => this.#error(`bad number syntax: ${quoted(this.#input.slice(this.#start, this.#position))}`);
    if (!scan()) return bad();
    if (!/[+-]/.test(this.#peek())) return this.#emit('number');
    return scan() && this.#input.charAt(this.#position - 1) === 'i' ? this.#emit('complex') : bad();
  }

  #quote(quote: string, type: TokenType, unterminated: string): Token {
    for (;;) {
      const character = this.#input.charAt(this.#position++);
      if (character === quote) return this.#emit(type);
      const isEscape = character === '\\';
      const last = isEscape ? this.#input.charAt(this.#position++) : character;
      if (last === END || last === '\n') return this.#error(unterminated);
    }
  }

  #rawQuote(): Token {
    const end = this.#input.indexOf('`', this.#position);
    if (end < 0) return this.#error('unterminated raw quoted string');
    this.#position = end + 1;
    return this.#emit('raw string');
  }

  #peek(): string {
    const code = this.#input.codePointAt(this.#position);
    return code === undefined ? END : String.fromCodePoint(code);
  }

  #skipWord(): void {
    for (let rune = this.#peek(); isAlphaNumeric(rune); rune = this.#peek()) this.#position += rune.length;
  }

  #skipSpace(): void {
    while (isSpace(this.#peek())) this.#position++;
  }

  #emit(type: TokenType): Token {
    const token = { type, text: this.#input.slice(this.#start, this.#position), position: this.#start, line: this.#lineOfStart() };
    this.#start = this.#position;
    return token;
  }

  #error(text: string): Token {
    return { type: 'error', text, position: this.#start, line: this.#lineOfStart() };
  }

  #lineOfStart(): number {
    for (; this.#counted < this.#start; this.#counted++) {
      if (this.#input.charAt(this.#counted) === '\n') this.#line++;
    }
    return this.#line;
  }
}

/** Up to the space at its end. */
function lengthWithoutSpace(text: string): number {
  let length = text.length;
  while (length > 0 && isSpace(text.charAt(length - 1))) length--;
  return length;
}

function isSpace(rune: string): boolean {
  return rune === ' ' || rune === '\t' || rune === '\r' || rune === '\n';
}

function isAlphaNumeric(rune: string): boolean {
  return rune !== END && /^[_\p{L}\p{Nd}]$/u.test(rune);
}

/** `U+002D '-'` */
function shownRune(rune: string): string {
  const code = `U+${(rune.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  return /^[\p{C}\p{Z}]$/u.test(rune) && rune !== ' ' ? code : `${code} '${rune}'`;
}

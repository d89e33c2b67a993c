import { quoted } from './quote.js';

const KEYWORDS = ['block', 'break', 'continue', 'define', 'else', 'end', 'if', 'nil', 'range', 'template', 'with'] as const;

export type Keyword = (typeof KEYWORDS)[number];

export type TokenType =
  | 'error'
  | 'assign'
  | 'bool'
  | 'char'
  | 'char constant'
  | 'complex'
  | 'declare'
  | 'dot'
  | 'end of text'
  | 'field'
  | 'identifier'
  | 'left delimiter'
  | 'left paren'
  | 'number'
  | 'pipe'
  | 'raw string'
  | 'right delimiter'
  | 'right paren'
  | 'space'
  | 'string'
  | 'text'
  | 'variable'
  | Keyword;

export interface Token {
  readonly type: TokenType;
  /** What stands there; of an error, what is wrong. */
  readonly text: string;
  /** Index in the template. */
  readonly position: number;
  readonly line: number;
}

export function isKeyword(word: string): word is Keyword {
  return (KEYWORDS as readonly string[]).includes(word);
}

/** A token as Go's messages show it. */
export function shownToken({ type, text }: Token): string {
  if (type === 'end of text') return 'EOF';
  if (type === 'error') return text;
  if (type === 'dot' || isKeyword(type)) return `<${text}>`;
  const runes = [...text];
  return Buffer.byteLength(text) > 10 ? `${quoted(runes.slice(0, 10).join(''))}...` : quoted(text);
}

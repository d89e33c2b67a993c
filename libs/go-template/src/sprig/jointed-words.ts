// Words with joints between them, as xstrings makes `snake_case` and `kebab-case`.

import { isSpace, isUpper, lowerRune } from './letter-case.js';

type WordType = 'connector' | 'punctuation' | 'capitals' | 'letters' | 'number' | 'other' | 'end';

interface Word {
  readonly type: WordType;
  readonly text: string;
}

const END: Word = { type: 'end', text: '' };

export function isConnector(rune: string): boolean {
  return rune === '-' || rune === '_' || isSpace(rune);
}

/** Small letters, with a joint where a word of capitals, a number or a connector begins. */
export function jointed(text: string, joint: string): string {
  return new JointWriter(wordsOf(text), joint).write();
}

class JointWriter {
  readonly #words: readonly Word[];
  readonly #joint: string;
  readonly #output: string[] = [];
  #place = 0;

  constructor(words: readonly Word[], joint: string) {
    this.#words = words;
    this.#joint = joint;
  }

  write(): string {
    // Nothing is put behind the last word.
    while (this.#place < this.#words.length - 1) {
      const { type } = this.#next();
      this.#writeWord();
      if (type === 'number') this.#writeLettersAndNumbers();
      else if (type !== 'connector' && type !== 'punctuation') this.#joinNext();
    }
    if (this.#place < this.#words.length) this.#writeWord();
    return this.#output.join('');
  }

  #next(distance = 0): Word {
    return this.#words[this.#place + distance] ?? END;
  }

  #writeWord(): void {
    const { type, text } = this.#next();
    this.#place++;
    if (type === 'connector') this.#output.push(this.#joint.repeat([...text].length));
    else this.#output.push(type === 'capitals' ? [...text].map((rune) => (isUpper(rune) ? lowerRune(rune) : rune)).join('') : text);
  }

  #writeJointUnlessBefore(...types: readonly WordType[]): void {
    if (!types.includes(this.#next().type)) this.#output.push(this.#joint);
  }

  /** What follows a word of letters. A number belongs to it, unless letters follow the number. */
  #joinNext(): void {
    if (this.#next().type !== 'number') {
      this.#writeJointUnlessBefore('connector', 'punctuation');
      return;
    }
    const isLast = this.#place === this.#words.length - 1;
    if (isLast) return;
    if (this.#next(1).type === 'letters') {
      this.#output.push(this.#joint);
      this.#writeWord();
      this.#writeLettersAndNumbers();
    } else {
      this.#writeWord();
      this.#writeJointUnlessBefore('connector', 'punctuation');
    }
  }

  /** As long as they follow one another they are one word. */
  #writeLettersAndNumbers(): void {
    while (['letters', 'number'].includes(this.#next().type)) this.#writeWord();
    this.#writeJointUnlessBefore('end', 'punctuation', 'connector');
  }
}

function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  const runes = [...text];
  for (let start = 0; start < runes.length;) {
    const end = wordEnd(runes, start);
    words.push({ type: wordType(runes[start] ?? ''), text: runes.slice(start, end).join('') });
    start = end;
  }
  return words;
}

function wordEnd(runes: readonly string[], start: number): number {
  const type = wordType(runes[start] ?? '');
  const endOf = (isPart: (rune: string) => boolean): number => {
    let end = start + 1;
    while (end < runes.length && isPart(runes[end] ?? '')) end++;
    return end;
  };
  const isLetter = (rune: string): boolean => wordType(rune) === 'letters';
  // Dashes and underscores behind other punctuation belong to it.
  if (type === 'punctuation') return endOf(isPunctuation);
  if (type !== 'capitals') return endOf((rune) => wordType(rune) === type);
  if (!isUpper(runes[start + 1] ?? '')) return endOf(isLetter);
  const end = endOf(isUpper);
  // The last capital begins the next word: HTTPStatus is HTTP and Status.
  return isLetter(runes[end] ?? '') ? end - 1 : end;
}

function wordType(rune: string): WordType {
  if (isConnector(rune)) return 'connector';
  if (isPunctuation(rune)) return 'punctuation';
  if (isUpper(rune)) return 'capitals';
  if (isAlphabetic(rune)) return 'letters';
  return /^\p{N}$/u.test(rune) ? 'number' : 'other';
}

function isPunctuation(rune: string): boolean {
  return /^\p{P}$/u.test(rune);
}

/** A letter that is no Chinese character. */
function isAlphabetic(rune: string): boolean {
  const isChinese = /^[\u4e00-\u9fcc\u3400-\u4d85\u{20000}-\u{2b81d}]$/u.test(rune);
  return !isChinese && /^\p{L}$/u.test(rune);
}

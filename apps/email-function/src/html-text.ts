/** What is in these is not meant to be read. */
const HIDDEN = new Set(['head', 'script', 'style', 'template', 'title', 'noscript']);
const BLOCKS = new Set(
  'address article aside blockquote center dd div dl dt fieldset figcaption figure footer form header li main nav ol section table tr ul'.split(
    ' ',
  ),
);
/** Blocks with an empty line around them. */
const PARAGRAPHS = new Set(['h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'p', 'pre']);

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  apos: "'",
  bull: '•',
  copy: '©',
  euro: '€',
  gt: '>',
  hellip: '…',
  laquo: '«',
  ldquo: '“',
  lsquo: '‘',
  lt: '<',
  mdash: '—',
  middot: '·',
  nbsp: '\u00a0',
  ndash: '–',
  quot: '"',
  raquo: '»',
  rdquo: '”',
  reg: '®',
  rsquo: '’',
  shy: '',
  times: '×',
  trade: '™',
};

/**
 * The text of an HTML mail for those who read no HTML: paragraphs and lists as lines, the address of a link after its text. It is written for what
 * templates hold and not for every page; what it does not know it leaves out. Its time grows with the length of the text alone.
 */
export function textOfHtml(html: string): string {
  const reader = new HtmlReader(html);
  return reader.read();
}

class HtmlReader {
  readonly #html: string;
  readonly #small: string;
  /** A text that grows by parts and is looked at between them would be copied each time. */
  readonly #parts: string[] = [];
  /** Line breaks that are due before the next word. */
  #breaks = 0;
  #isBlankDue = false;
  #preformatted = 0;
  #link: { readonly address: string; readonly start: number } | null = null;

  constructor(html: string) {
    this.#html = html;
    this.#small = html.toLowerCase();
  }

  read(): string {
    let at = 0;
    while (at < this.#html.length) {
      const open = this.#html.indexOf('<', at);
      if (open < 0) break;
      this.#text(this.#html.slice(at, open));
      at = this.#tag(open);
    }
    this.#text(this.#html.slice(at));
    return this.#parts
      .join('')
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
      .trim();
  }

  /** Takes what begins with a `<`, and returns where it ends. */
  #tag(open: number): number {
    if (this.#html.startsWith('<!--', open)) return this.#after('-->', open + 4);
    const match = /^<(\/?)([a-z][a-z0-9]*)/.exec(this.#small.slice(open, open + 32));
    if (match === null) {
      if (/^<[!?/]/.test(this.#html.slice(open, open + 2))) return this.#after('>', open);
      // Somebody is less than somebody else.
      this.#text('<');
      return open + 1;
    }
    const [head, slash, name = ''] = match;
    const end = this.#endOfTag(open + head.length);
    if (slash === '/') this.#close(name);
    else if (HIDDEN.has(name)) return this.#after('>', this.#after(`</${name}`, end));
    else this.#open(name, this.#html.slice(open + head.length, end));
    return end;
  }

  #open(name: string, attributes: string): void {
    if (name === 'br') this.#parts.push('\n');
    else if (name === 'hr') this.#block(2, '---');
    else if (name === 'img') this.#text(attributeOf(attributes, 'alt'));
    else if (name === 'li') this.#block(1, '- ');
    else if (name === 'td' || name === 'th') this.#isBlankDue = true;
    else if (name === 'a') {
      // One within another is not possible in HTML.
      this.#endLink();
      this.#link = { address: attributeOf(attributes, 'href'), start: this.#parts.length };
    } else this.#edge(name);
    if (name === 'pre') this.#preformatted++;
  }

  #close(name: string): void {
    if (name === 'pre') this.#preformatted = Math.max(0, this.#preformatted - 1);
    if (name === 'a') this.#endLink();
    else this.#edge(name);
  }

  #edge(name: string): void {
    if (PARAGRAPHS.has(name)) this.#breaks = 2;
    else if (BLOCKS.has(name)) this.#breaks = Math.max(this.#breaks, 1);
  }

  #block(breaks: number, mark: string): void {
    this.#breaks = Math.max(this.#breaks, breaks);
    this.#write(mark);
    if (breaks === 2) this.#breaks = 2;
  }

  #endLink(): void {
    const link = this.#link;
    this.#link = null;
    if (link === null || !/^(?:https?|mailto|tel):/i.test(link.address)) return;
    const shown = this.#parts.slice(link.start).join('').trim();
    const address = link.address.replace(/^(?:mailto|tel):/i, '');
    if (shown !== address && shown !== link.address) this.#text(shown === '' ? address : ` (${address})`);
  }

  #text(raw: string): void {
    const text = decoded(raw);
    if (this.#preformatted > 0) {
      if (text !== '') this.#write(text);
      return;
    }
    for (const [part] of text.matchAll(/[ \t\r\n\f]+|[^ \t\r\n\f]+/g)) {
      if (/^[ \t\r\n\f]/.test(part)) this.#isBlankDue = true;
      else this.#write(part.replaceAll('\u00a0', ' '));
    }
  }

  #write(text: string): void {
    const last = this.#parts.at(-1);
    if (last !== undefined && this.#breaks > 0) this.#parts.push('\n'.repeat(this.#breaks));
    else if (last !== undefined && this.#isBlankDue && !/\s/.test(last.slice(-1))) this.#parts.push(' ');
    this.#breaks = 0;
    this.#isBlankDue = false;
    this.#parts.push(text);
  }

  /** Behind the `>` that ends a tag, which is none within quotes. */
  #endOfTag(from: number): number {
    let quote = '';
    for (let at = from; at < this.#html.length; at++) {
      const character = this.#html.charAt(at);
      if (quote !== '') quote = character === quote ? '' : quote;
      else if (character === '"' || character === "'") quote = character;
      else if (character === '>') return at + 1;
    }
    return this.#html.length;
  }

  #after(mark: string, from: number): number {
    const at = this.#small.indexOf(mark, from);
    return at < 0 ? this.#html.length : at + mark.length;
  }
}

function attributeOf(attributes: string, name: string): string {
  // A name is looked at from its begin alone: from each of its letters it would take the square of its length.
  for (const match of attributes.matchAll(/(?<![a-z-])([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/gi)) {
    if (match[1]?.toLowerCase() === name) return decoded(match[2] ?? match[3] ?? match[4] ?? '').trim();
  }
  return '';
}

function decoded(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal);
    const isCharacter = point >= 32 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return isCharacter ? String.fromCodePoint(point) : '';
  });
}

/** What the tests of the documentation read in a page: fenced blocks, links, headings and tables. */

export interface FencedBlock {
  /** Empty: none is written. */
  readonly language: string;
  readonly text: string;
  /** Of its first line of text, from 1. */
  readonly line: number;
}

export interface Link {
  readonly target: string;
  readonly line: number;
}

/** The blocks between fences of three backticks. Throws when the last one is not closed. */
export function fencedBlocks(page: string): FencedBlock[] {
  const blocks: FencedBlock[] = [];
  let open: { readonly language: string; readonly line: number; readonly lines: string[] } | null = null;
  for (const [index, line] of page.split('\n').entries()) {
    const fence = /^```(\S*)/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === null) open = { language: fence[1] ?? '', line: index + 2, lines: [] };
    else {
      blocks.push({ language: open.language, line: open.line, text: open.lines.join('\n') });
      open = null;
    }
  }
  if (open !== null) throw new Error(`the block that begins in line ${open.line} has no end`);
  return blocks;
}

/** Links and images outside of blocks and of code. */
export function links(page: string): Link[] {
  return proseLines(page).flatMap(({ text, line }) =>
    [...text.replaceAll(/(`+)[^`]+?\1/g, (span) => ' '.repeat(span.length)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => ({
      target,
      line,
    })),
  );
}

/** What `#…` in a link may say. */
export function anchors(page: string): string[] {
  return proseLines(page).flatMap(({ text }) => {
    const heading = /^#+ (.+)$/.exec(text)?.[1];
    return heading === undefined
      ? []
      : [
          heading
            .toLowerCase()
            .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
            .replaceAll(' ', '-'),
        ];
  });
}

/** The first cell of each row of all tables that is one code span and nothing else, without its backticks. */
export function codeCells(page: string): Link[] {
  return proseLines(page).flatMap(({ text, line }) => {
    const target = /^\| `([^`]+)` +\|/.exec(text)?.[1];
    return target === undefined ? [] : [{ target, line }];
  });
}

/** The texts of all code spans, without their backticks. */
export function codeSpans(page: string): Link[] {
  return proseLines(page).flatMap(({ text, line }) => [...text.matchAll(/`([^`]+)`/g)].map(([, target = '']) => ({ target, line })));
}

/** The cells of all rows of tables, without the lines below their heads. */
export function tableRows(page: string): { readonly cells: readonly string[]; readonly line: number }[] {
  return proseLines(page).flatMap(({ text, line }) => {
    if (!text.startsWith('| ') || text.startsWith('| -')) return [];
    return [
      {
        cells: text
          .slice(1, text.lastIndexOf('|'))
          .split('|')
          .map((cell) => cell.trim()),
        line,
      },
    ];
  });
}

function proseLines(page: string): { readonly text: string; readonly line: number }[] {
  let isInside = false;
  return page.split('\n').flatMap((text, index) => {
    if (text.startsWith('```')) {
      isInside = !isInside;
      return [];
    }
    return isInside ? [] : [{ text, line: index + 1 }];
  });
}

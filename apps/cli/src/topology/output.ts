import { stringify } from 'yaml';

export const OUTPUT_FORMATS = ['text', 'json', 'yaml'] as const;

export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Where a command writes. */
export interface Output {
  readonly format: OutputFormat;
  /** A line of the answer. */
  readonly line: (text: string) => void;
  /** A line beside the answer, which a program that reads the answer does not see. */
  readonly note: (text: string) => void;
}

/** What a command that judges a topology exits with: it can be used, it cannot, it is held back by keys that are where they are. */
export const EXIT = { fine: 0, wrong: 1, held: 3 } as const;

/** Writes an answer: as `lines` for people, else as the value. */
export function answer(output: Output, value: unknown, lines: readonly string[]): void {
  switch (output.format) {
    case 'text':
      for (const line of lines) output.line(line);
      break;
    case 'json':
      output.line(JSON.stringify(value, null, 2));
      break;
    case 'yaml':
      output.line(stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd());
      break;
  }
}

/** Rows as lines of aligned columns. */
export function columns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}

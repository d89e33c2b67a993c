/** One line of the screen, with what is to be seen below it. */
export interface Part {
  readonly name: string;
  readonly isReady: boolean;
  /** What is said beside `ready` or in place of it. */
  readonly text: string;
  readonly below?: readonly string[];
}

/** The parts as lines of aligned columns. */
export function statusLines(parts: readonly Part[]): string[] {
  const width = Math.max(...parts.map(({ name }) => name.length)) + 2;
  return parts.flatMap(({ name, isReady, text, below = [] }) => [
    `  ${isReady ? 'ok  ' : 'FAIL'}  ${name.padEnd(width)}${text}`,
    ...below.map((line) => `        ${''.padEnd(width)}${line}`),
  ]);
}

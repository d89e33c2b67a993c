/** Offers only what is said; with the other directive a shell offers its own file names. */
export const NO_FILES = 4;
export const FILES = 0;

/** What a shell may offer for the word that is being typed, in the form that kubectl reads: one a line with its help, then a directive. */
export function completionText(current: string, words: readonly (readonly [word: string, help: string])[], directive = NO_FILES): string {
  return [
    ...words.filter(([word]) => word.startsWith(current)).map(([word, help]) => (help === '' ? word : `${word}\t${help}`)),
    `:${directive}`,
    '',
  ].join('\n');
}

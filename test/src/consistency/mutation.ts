import { readFile } from 'node:fs/promises';

/** One replacement in one compiled module. */
export interface Mutation {
  /** Path below the repository. */
  readonly module: string;
  /** It is there exactly once. */
  readonly find: string;
  readonly replace: string;
}

const ROOT = new URL('../../../', import.meta.url);

/** Makes a source another one; throws when the text to be replaced is not in it exactly once. */
export function mutate({ module, find, replace }: Mutation, source: string): string {
  const parts = source.split(find);
  const [before, after] = parts;
  if (before === undefined || after === undefined || parts.length > 2) {
    throw new Error(`${module} has ${parts.length - 1} times what a mutation replaces, not once: ${find}`);
  }
  return `${before}${replace}${after}`;
}

/** The compiled module as it is. */
export function readModule({ module }: Mutation): Promise<string> {
  return readFile(new URL(module, ROOT), 'utf8');
}

/** The mutation of a module that is about to be loaded; undefined: it stays as it is. */
export function mutationOf(url: string, mutations: readonly Mutation[]): Mutation | undefined {
  return mutations.find(({ module }) => url === new URL(module, ROOT).href);
}

/** With these Node loads everything as it is, but for the modules that the mutations of these names replace something in. */
export function mutationFlags(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const preload = new URL('./mutation-preload.js', import.meta.url);
  for (const name of names) preload.searchParams.append('name', name);
  return ['--import', preload.href];
}

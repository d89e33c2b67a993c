// Paths with slashes, as the packages path and, on Linux, path/filepath have them.

import type { TemplateFunction } from '../template-function.js';
import { fixed } from './declaration.js';

const base = fixed(['string'], baseOf);
const clean = fixed(['string'], cleaned);
const dir = fixed(['string'], (path) => cleaned(path.slice(0, path.lastIndexOf('/') + 1)));
const ext = fixed(['string'], (path) => /\.[^./]*$/.exec(path)?.[0] ?? '');
const isAbs = fixed(['string'], (path) => path.startsWith('/'));

export const PATH_FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map([
  ['base', base],
  ['clean', clean],
  ['dir', dir],
  ['ext', ext],
  ['isAbs', isAbs],
  ['osBase', base],
  ['osClean', clean],
  ['osDir', dir],
  ['osExt', ext],
  ['osIsAbs', isAbs],
]);

function baseOf(path: string): string {
  if (path === '') return '.';
  const parts = path.split('/').filter((part) => part !== '');
  return parts.at(-1) ?? '/';
}

/** The shortest path that means the same, without asking a file system. */
function cleaned(path: string): string {
  const isRooted = path.startsWith('/');
  const kept: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (!isRooted) kept.push(part);
  }
  return isRooted ? `/${kept.join('/')}` : kept.join('/') || '.';
}

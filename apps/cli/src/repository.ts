import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The launcher that starts this program again, as another process. */
export const LAUNCHER = fileURLToPath(new URL('../bin/harikube.js', import.meta.url));
/** Where npm puts the programs of this repository: the plugins of kubectl, too. */
export const PROGRAMS_FOLDER = fileURLToPath(new URL('../../../node_modules/.bin', import.meta.url));
export const EXAMPLES = fileURLToPath(new URL('../../../examples/', import.meta.url));

export function packageVersion(): string {
  const value: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  if (typeof value === 'object' && value !== null && 'version' in value && typeof value.version === 'string') return value.version;
  throw new Error('the package of this program has no version');
}

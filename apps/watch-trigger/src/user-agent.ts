import { readFileSync } from 'node:fs';

/** Product and version, as receivers see them. */
export const USER_AGENT = `harikube-watch-trigger/${versionIn(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))}`;

function versionIn(packageText: string): string {
  const { version } = JSON.parse(packageText) as { readonly version: string };
  return version;
}

// Writes the pages of kinds in docs/crds. `docs.spec.ts` fails where it was not done.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CRD_PAGES, crdPages } from './crd-pages.js';

const pages = await crdPages();
await mkdir(CRD_PAGES, { recursive: true });
for (const name of await readdir(CRD_PAGES)) if (!pages.has(join(CRD_PAGES, name))) await rm(join(CRD_PAGES, name));
for (const [path, text] of pages) await writeFile(path, text);

// Writes what is generated in the charts. `data-layer-files.spec.ts` fails where it was not done.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { chartFiles, chartNames } from './chart-files.js';

for (const chart of await chartNames()) {
  for (const [path, text] of await chartFiles(chart)) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}

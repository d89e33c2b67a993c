import { parseArgs } from 'node:util';
import { PowerLoss } from './power-loss.js';
import { wholeNumber } from './run-options.js';

const DEFAULT_IMAGES = 1000;
/** Images of one recording. */
const IMAGES_OF_A_RECORDING = 250;
/** A router is started on each image of so many; SQLite opens the others. */
const ROUTER_EVERY = 25;
const WRITE_MS = 6000;

export const POWER_USAGE = `power      the machine loses its power while a router over SQLite writes
  --images N       moments at which it does; default: ${DEFAULT_IMAGES}
  --seed N         decides which; default: from the time
  --normal         the files are opened with synchronous=NORMAL, which loses what was acknowledged last: findings are due`;

/** Prints what happened and the verdict; resolves with the process's exit code. */
export async function runPower(args: readonly string[], print: (line: string) => void): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { images: { type: 'string' }, seed: { type: 'string' }, normal: { type: 'boolean' } },
  });
  const images = wholeNumber('images', values.images ?? String(DEFAULT_IMAGES));
  const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
  const synchronous = values.normal === true ? 'NORMAL' : 'FULL';
  print(`seed ${seed}, ${images} losses of power with synchronous=${synchronous}`);
  const startedAt = performance.now();
  let findings = 0;
  for (let made = 0, round = 1; made < images; round++) {
    const isOne = round % 3 === 0;
    const recording = await PowerLoss.record({ seed: seed + round, writeMs: WRITE_MS, isOne, synchronous });
    try {
      const { findings: sentences, ...counts } = recording.verdict;
      print(`recording ${round} over ${isOne ? 'one file' : 'three files'}: ${JSON.stringify(counts)}`);
      for (const sentence of sentences.slice(0, 20)) print(`  FINDING ${sentence}`);
      findings += sentences.length;
      let bad = 0;
      const count = Math.min(IMAGES_OF_A_RECORDING, images - made);
      for await (const image of recording.images({ count, seed: seed + round, routerEvery: ROUTER_EVERY })) {
        made++;
        if (image.findings.length > 0) bad++;
        for (const sentence of image.findings.slice(0, 3)) print(`  FINDING at moment ${image.moment}: ${sentence}`);
      }
      print(`recording ${round}: ${count} losses of power, ${bad} with findings`);
      findings += bad;
    } finally {
      await recording.remove();
    }
  }
  print(`${images} losses of power with seed ${seed} in ${Math.round((performance.now() - startedAt) / 1000)} s, ${findings} findings`);
  return findings === 0 ? 0 : 1;
}

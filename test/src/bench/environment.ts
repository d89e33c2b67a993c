import { fdatasyncSync, openSync, writeSync, closeSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../run-program.js';
import { median } from './median.js';

/** What a reader has to know about the machine to make sense of a figure. */
export async function describeMachine(folder: string): Promise<string> {
  const processors = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  const filesystem = (await runProgram('df', ['--output=fstype', folder])).trim().split('\n').at(-1) ?? '';
  const syncMs = median(measureSync(join(folder, 'sync-probe')));
  return [
    `${processors.length} CPUs (${processors[0]?.model.trim() ?? 'unknown'}, ${arch()})`,
    `${memory} GB RAM`,
    `Linux ${release()}`,
    `${filesystem}, fdatasync of 2 KB ${syncMs.toFixed(2)} ms`,
    `Node ${process.version}`,
  ].join('; ');
}

function measureSync(file: string): number[] {
  const descriptor = openSync(file, 'w');
  const block = Buffer.alloc(2048, 1);
  const times: number[] = [];
  for (let i = 0; i < 200; i += 1) {
    writeSync(descriptor, block);
    const began = performance.now();
    fdatasyncSync(descriptor);
    times.push(performance.now() - began);
  }
  closeSync(descriptor);
  return times;
}

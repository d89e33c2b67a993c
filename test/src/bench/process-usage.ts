import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** CPU time that all threads of a process have used, in microseconds. Linux only. */
export async function cpuMicroseconds(pid: number): Promise<number> {
  const tasks = `/proc/${pid}/task`;
  let nanoseconds = 0;
  for (const task of await readdir(tasks)) {
    // A thread may end between the listing and the reading.
    const text = await readFile(join(tasks, task, 'schedstat'), 'utf8').catch(() => '0');
    nanoseconds += Number(text.split(' ')[0]);
  }
  return nanoseconds / 1000;
}

export interface MemoryUsage {
  readonly residentMegabytes: number;
  /** The most it ever was, or was since `resetPeak`. */
  readonly peakMegabytes: number;
}

/** Resident memory of a process. Linux only. */
export async function memoryUsage(pid: number): Promise<MemoryUsage> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return { residentMegabytes: kilobytes('VmRSS') / 1024, peakMegabytes: kilobytes('VmHWM') / 1024 };
}

/** Has the peak begin anew at what the process holds now. Linux only. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

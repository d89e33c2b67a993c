import type { Verdict } from '../consistency/judge.js';
import { type CheckedEpisode, runCheckedEpisode } from './checked-episode.js';
import { SmallDisk } from './small-disk.js';
import { failSystemCalls } from './system-call-fault.js';
import { ThreeFiles } from './three-files.js';
import type { Area } from '../consistency/history.js';

const CALLS_BETWEEN = 60;
const LARGE_BYTES = 64 * 1024;

interface Disk {
  readonly area: Area;
  readonly file: string;
  /** Null where this process may not mount anything. */
  readonly small: SmallDisk | null;
  readonly pid: number;
}

/** What can be wrong with the disk of one file. */
interface DiskFault {
  readonly name: string;
  /** Which writes are refused as long as it lasts; `some` are those of the workload. A full disk has room in a write-ahead log that is written anew. */
  readonly refuses: 'every' | 'large' | 'some';
  /** The function that ends it; null: it is not possible here. */
  begin(disk: Disk): Promise<(() => Promise<void>) | null>;
}

/** Everything by which SQLite writes. */
const WRITES = ['write', 'pwrite64', 'ftruncate', 'fallocate'];

export const DISK_FAULTS: readonly DiskFault[] = [
  { name: 'the disk is full', refuses: 'large', begin: async ({ small }) => (small === null ? null : small.fill()) },
  {
    name: 'the file is read-only',
    refuses: 'every',
    begin: ({ pid, file }) => failSystemCalls({ pid, files: [file, `${file}-wal`], calls: WRITES, error: 'EROFS' }),
  },
  {
    name: 'some writes fail',
    refuses: 'some',
    begin: ({ pid, file }) => failSystemCalls({ pid, files: [file, `${file}-wal`], calls: ['pwrite64'], error: 'EIO', when: '2+5' }),
  },
];

export interface DiskFaultsPlan {
  readonly seed: number;
  /** How often each fault happens to each of the two databases. */
  readonly rounds: number;
  readonly onHappened: (what: string) => void;
}

/** Faults of the disks of the default database and of another one, each healed before the next, without a restart of the router. */
export async function runDiskFaults({ seed, rounds, onHappened }: DiskFaultsPlan): Promise<{ readonly verdict: Verdict }> {
  const files = await ThreeFiles.create({ isApart: true });
  const targets = files.areas.slice(0, 2);
  const disks = new Map<Area, SmallDisk | null>();
  try {
    for (const area of targets) disks.set(area, await SmallDisk.mount(files.folder(area)));
    const verdict = await runCheckedEpisode({ seed, files, hasFaults: true }, async (episode) => {
      for (let round = 0; round < rounds; round++) {
        for (const fault of DISK_FAULTS) {
          for (const area of targets) {
            const disk = { area, file: files.file(area), small: disks.get(area) ?? null, pid: episode.router.pid };
            if (await suffer(episode, fault, disk, files.areas)) onHappened(`${fault.name}: ${area.name}`);
          }
        }
      }
    });
    return { verdict };
  } finally {
    for (const disk of disks.values()) await disk?.unmount();
    await files.remove();
  }
}

/** Whether the fault was possible. */
async function suffer({ probe, goOn }: CheckedEpisode, fault: DiskFault, disk: Disk, areas: readonly Area[]): Promise<boolean> {
  const key = `${disk.area.prefix}probe`;
  await goOn(CALLS_BETWEEN);
  const heal = await fault.begin(disk);
  if (heal === null) return false;
  try {
    if (fault.refuses !== 'some') await probe.putUntil(key, 'refused', fault.refuses === 'large' ? LARGE_BYTES : 0);
    for (const { prefix } of areas.filter((area) => area !== disk.area)) await probe.putUntil(`${prefix}probe`, 'done');
    await goOn(CALLS_BETWEEN);
    if (fault.refuses === 'every' && (await probe.put(key)).type === 'done')
      throw new Error(`"${fault.name}" in ${disk.area.name}: a write succeeds`);
  } finally {
    await heal();
  }
  await probe.putUntil(key, 'done');
  return true;
}

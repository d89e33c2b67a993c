import { rename, writeFile } from 'node:fs/promises';
import { findFakeTime } from './debian-tools.js';

const SECONDS_OF_AN_HOUR = 3600;

/** The wall clock of the processes that have its variables. Their monotonic clock stays the machine's. */
export class FakeClock {
  private constructor(
    private readonly file: string,
    readonly env: Readonly<Record<string, string>>,
  ) {}

  /** `file` tells those processes how far their clock is off. */
  static async create(file: string): Promise<FakeClock> {
    const library = await findFakeTime();
    const clock = new FakeClock(file, {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    });
    await clock.set(0);
    return clock;
  }

  /** Hours by which it is ahead of the machine's; from now on. */
  async set(hours: number): Promise<void> {
    const seconds = Math.round(hours * SECONDS_OF_AN_HOUR);
    await writeFile(`${this.file}.next`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    await rename(`${this.file}.next`, this.file);
  }
}

import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** A sync that takes longer is a stall; usual is a fraction of a millisecond. */
const STALL_MS = 200;
const PAUSE_MS = 20;
const PAGE = Buffer.alloc(4096, 1);
/** The file starts over at this size. */
const FILE_BYTES = 4 * 1024 * 1024;

interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * When the machine itself stood still: a page is appended to a file of its own and synced, again and again. A disk that is busy with what others write, and a
 * processor that is, hold that up as they hold up a database. It excuses nothing; it tells where to look. Points in time are those of `performance.now()`.
 */
export class MachineStalls {
  readonly #spans: Span[] = [];
  /** Since when the sync goes on that is under way. */
  #since = Infinity;
  #isOver = false;
  readonly #done: Promise<void>;

  private constructor(
    private readonly folder: string,
    file: FileHandle,
  ) {
    this.#done = this.#watch(file);
  }

  static async watch(): Promise<MachineStalls> {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-stalls-'));
    return new MachineStalls(folder, await open(join(folder, 'pages'), 'w'));
  }

  /** Behind a finding about time: how long of it the machine stood still; empty when it did not. */
  told(since: number): string {
    const spans = [...this.#spans, { from: this.#since, to: performance.now() }];
    const ms = spans
      .filter(({ from, to }) => to - from > STALL_MS)
      .reduce((sum, { from, to }) => sum + Math.max(0, to - Math.max(from, since)), 0);
    return ms === 0 ? '' : ` (the machine itself stood still for ${Math.round(ms)} ms of it)`;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#done;
    await rm(this.folder, { recursive: true });
  }

  async #watch(file: FileHandle): Promise<void> {
    for (let size = 0; !this.#isOver; size += PAGE.length) {
      if (size >= FILE_BYTES) {
        await file.truncate(0);
        size = 0;
      }
      this.#since = performance.now();
      await file.write(PAGE, 0, PAGE.length, size);
      await file.sync();
      const to = performance.now();
      if (to - this.#since > STALL_MS) this.#spans.push({ from: this.#since, to });
      this.#since = Infinity;
      await pause(PAUSE_MS, undefined, { ref: false });
    }
    await file.close();
  }
}

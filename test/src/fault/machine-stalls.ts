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

/** What goes on now, and what of it took too long before. */
class Watched {
  readonly #stalls: Span[] = [];
  #since = Infinity;

  /** `usualMs`: what it takes when nothing holds it up. */
  constructor(private readonly usualMs: number) {}

  begin(): void {
    this.#since = performance.now();
  }

  end(): void {
    const to = performance.now();
    if (to - this.#since > this.usualMs + STALL_MS) this.#stalls.push({ from: this.#since + this.usualMs, to });
    this.#since = Infinity;
  }

  /** How long it stood still since a point in time, in milliseconds. */
  stoodStill(since: number): number {
    return [...this.#stalls, { from: this.#since + this.usualMs, to: performance.now() }]
      .filter(({ from, to }) => to - from > STALL_MS)
      .reduce((sum, { from, to }) => sum + Math.max(0, to - Math.max(from, since)), 0);
  }
}

/**
 * When the machine itself stood still: a page is appended to a file of its own and synced, again and again. A disk that is busy with what others write, and a
 * processor that is, hold that up as they hold up a database. And when this process did, which then measures late. It excuses nothing; it tells where to
 * look. Points in time are those of `performance.now()`.
 */
export class MachineStalls {
  readonly #syncs = new Watched(0);
  readonly #pauses = new Watched(PAUSE_MS);
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

  /** Behind a finding about time: how long of it the machine or this process stood still; empty when neither did. */
  told(since: number): string {
    const [machine, own] = [this.#syncs, this.#pauses].map((watched) => Math.round(watched.stoodStill(since)));
    return [
      machine === 0 ? '' : ` (the machine itself stood still for ${machine} ms of it)`,
      own === 0 ? '' : ` (who measures stood still for ${own} ms of it)`,
    ].join('');
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
      this.#syncs.begin();
      await file.write(PAGE, 0, PAGE.length, size);
      await file.sync();
      this.#syncs.end();
      this.#pauses.begin();
      await pause(PAUSE_MS, undefined, { ref: false });
      this.#pauses.end();
    }
    await file.close();
  }
}

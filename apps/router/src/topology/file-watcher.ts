import { existsSync, type FSWatcher, statSync, watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { readTopologyFile, TopologySourceError } from '@harikube/datasources';
import type { Logger } from '@harikube/platform';
import type { TopologyReading, TopologyWatcher } from './topology-watcher.js';

export interface FileWatcherOptions {
  readonly path: string;
  readonly logger: Logger;
  /** How often it looks by itself: some file systems tell nobody of a change, and links may lead anywhere. */
  readonly pollMs?: number;
  /** A text counts when it was the same twice within this time: a file is written piece by piece. */
  readonly settleMs?: number;
}

const POLL_MS = 2000;
const SETTLE_MS = 100;
/** A file that is not there has nothing that could be watched. */
const MISSING_POLL_MS = 500;
/** The link that the kubelet swaps. */
const DATA_LINK = '..data';

/**
 * Follows a file that is written in place, replaced by a rename, or changed by the swap of the link `..data` with which the kubelet changes
 * all files of a ConfigMap at once. The file itself is watched, and not its folder, in which there may be a database that is written all
 * the time.
 */
export class FileWatcher implements TopologyWatcher {
  readonly #options: Required<FileWatcherOptions>;
  readonly #folder: string;
  #onReading: ((reading: TopologyReading) => void) | null = null;
  /** By path, with the number of the file that was found there: another one may take its place. */
  readonly #watched = new Map<string, { readonly inode: number; readonly watcher: FSWatcher }>();
  #timer: NodeJS.Timeout | null = null;
  /** What it read last, told or not. */
  #seen: TopologyReading | null = null;
  #told: TopologyReading | null = null;
  #looking: Promise<void> = Promise.resolve();
  readonly #closed = new AbortController();

  constructor({ pollMs = POLL_MS, settleMs = SETTLE_MS, ...options }: FileWatcherOptions) {
    this.#options = { ...options, pollMs, settleMs };
    this.#folder = dirname(options.path);
  }

  start(onReading: (reading: TopologyReading) => void): void {
    this.#onReading = onReading;
    this.#look();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#onReading = null;
    for (const path of [...this.#watched.keys()]) this.#unwatch(path);
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#looking;
  }

  #lookIn(milliseconds: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#look();
    }, milliseconds).unref();
  }

  #look(): void {
    this.#looking = this.#looking.then(async () => {
      if (this.#onReading === null) return;
      const { path, pollMs, settleMs } = this.#options;
      // Before the read, so that what changes after it is noticed.
      this.#watch(path);
      if (existsSync(join(this.#folder, DATA_LINK))) this.#watch(this.#folder);
      const reading = await this.#read();
      const isSettled = this.#seen !== null && isSame(this.#seen, reading);
      this.#seen = reading;
      if (isSettled && (this.#told === null || !isSame(this.#told, reading))) {
        this.#told = reading;
        this.#onReading?.(reading);
      }
      // What was noticed during the read is looked at soon.
      if (this.#onReading === null || this.#timer !== null) return;
      this.#lookIn(!isSettled ? settleMs : reading.type === 'read' ? pollMs : Math.min(pollMs, MISSING_POLL_MS));
    });
  }

  async #read(): Promise<TopologyReading> {
    try {
      const text = await readTopologyFile(this.#options.path, this.#closed.signal);
      return { type: 'read', documents: [{ name: '', text }] };
    } catch (error) {
      if (error instanceof TopologySourceError) return { type: 'unreadable', reason: error.message };
      throw error;
    }
  }

  #watch(path: string): void {
    const inode = inodeOf(path);
    if (inode === (this.#watched.get(path)?.inode ?? null)) return;
    this.#unwatch(path);
    if (inode === null) return;
    try {
      const watcher = watch(path, { persistent: false }, () => this.#lookIn(this.#options.settleMs));
      watcher.on('error', () => this.#unwatch(path));
      this.#watched.set(path, { inode, watcher });
    } catch (error) {
      // The limit on watches of this user, most likely; the poll does without.
      this.#options.logger.debug('cannot watch the topology, looking at intervals', { path, err: error });
    }
  }

  #unwatch(path: string): void {
    this.#watched.get(path)?.watcher.close();
    this.#watched.delete(path);
  }
}

/** Null: it is not there, or nobody may know. */
function inodeOf(path: string): number | null {
  try {
    return statSync(path).ino;
  } catch {
    return null;
  }
}

function isSame(one: TopologyReading, other: TopologyReading): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { readTopologyFile, TopologySourceError } from '@harikube/datasources';
import type { Logger } from '@harikube/platform';
import type { TopologyReading, TopologyWatcher } from './topology-watcher.js';

export interface FileWatcherOptions {
  readonly path: string;
  readonly logger: Logger;
  /** How often it looks by itself: some file systems tell nobody of a change, and a link may lead out of the folder. */
  readonly pollMs?: number;
  /** A text counts when it was the same twice within this time: a file is written piece by piece. */
  readonly settleMs?: number;
}

const POLL_MS = 5000;
const SETTLE_MS = 100;

/**
 * Follows a file that is written in place, replaced by a rename, or changed by the swap of the link `..data` with which the
 * kubelet changes all files of a ConfigMap at once.
 */
export class FileWatcher implements TopologyWatcher {
  readonly #options: Required<FileWatcherOptions>;
  readonly #folder: string;
  #onReading: ((reading: TopologyReading) => void) | null = null;
  #watcher: FSWatcher | null = null;
  /** Of the folder that is watched: another one may take its place. */
  #watched: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** What it read last, told or not. */
  #seen: TopologyReading | null = null;
  #told: TopologyReading | null = null;
  #reading: Promise<void> = Promise.resolve();
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
    this.#unwatch();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#reading;
  }

  #lookIn(milliseconds: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), milliseconds).unref();
  }

  #look(): void {
    this.#reading = this.#reading.then(async () => {
      if (this.#onReading === null) return;
      // Before the read, so that what changes after it is noticed.
      this.#watch();
      const reading = await this.#read();
      const isSettled = this.#seen !== null && isSame(this.#seen, reading);
      this.#seen = reading;
      if (isSettled && (this.#told === null || !isSame(this.#told, reading))) {
        this.#told = reading;
        this.#onReading?.(reading);
      }
      if (this.#onReading !== null) this.#lookIn(isSettled ? this.#options.pollMs : this.#options.settleMs);
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

  #watch(): void {
    const folder = inodeOf(this.#folder);
    if (folder === this.#watched) return;
    this.#unwatch();
    if (folder === null) return;
    try {
      this.#watcher = watch(this.#folder, { persistent: false }, () => this.#lookIn(this.#options.settleMs));
      this.#watcher.on('error', () => this.#unwatch());
      this.#watched = folder;
    } catch (error) {
      // The limit on watches of this user, most likely; the poll does without.
      this.#options.logger.debug('cannot watch the folder of the topology, looking at intervals', { folder: this.#folder, err: error });
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = null;
    this.#watched = null;
  }
}

function inodeOf(folder: string): number | null {
  return statSync(folder, { throwIfNoEntry: false })?.ino ?? null;
}

function isSame(one: TopologyReading, other: TopologyReading): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

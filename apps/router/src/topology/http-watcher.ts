import { type FetchedTopologyText, fetchTopologyText, TopologySourceError } from '@harikube/datasources';
import type { TopologyReading, TopologyWatcher } from './topology-watcher.js';

export interface HttpWatcherOptions {
  /** May hold credentials. */
  readonly url: string;
  /** Between the end of one question and the next. */
  readonly pollMs?: number;
  /** How long an answer may take. */
  readonly timeoutMs?: number;
}

const POLL_MS = 30_000;
const TIMEOUT_MS = 10_000;

/** Asks for a URL again and again; a server that knows the text by its ETag or its date need not send it twice. */
export class HttpWatcher implements TopologyWatcher {
  readonly #options: Required<HttpWatcherOptions>;
  readonly #closed = new AbortController();
  #known: FetchedTopologyText | null = null;
  #timer: NodeJS.Timeout | null = null;
  #asking: Promise<void> = Promise.resolve();

  constructor({ pollMs = POLL_MS, timeoutMs = TIMEOUT_MS, url }: HttpWatcherOptions) {
    this.#options = { url, pollMs, timeoutMs };
  }

  start(onReading: (reading: TopologyReading) => void): void {
    this.#asking = this.#ask().then((reading) => {
      if (this.#closed.signal.aborted) return;
      onReading(reading);
      this.#timer = setTimeout(() => this.start(onReading), this.#options.pollMs).unref();
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#asking;
  }

  async #ask(): Promise<TopologyReading> {
    const { url, timeoutMs } = this.#options;
    try {
      this.#known = await fetchTopologyText(url, { known: this.#known, signal: this.#closed.signal, timeoutMs });
      return { type: 'read', documents: [{ name: '', text: this.#known.text }] };
    } catch (error) {
      if (error instanceof TopologySourceError) return { type: 'unreadable', reason: error.message };
      throw error;
    }
  }
}

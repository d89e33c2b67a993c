import { formatElapsed, type Progress } from '@harikube/local-cluster';

/** On a stream that is not a terminal, a step under way is told about this often. */
const UPDATE_MILLISECONDS = 15_000;

/** Progress on a terminal, or as lines in a log; every line carries the time since the start. */
export class Terminal implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #toldAt = performance.now();
  #hasUpdate = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  note(text: string): void {
    this.#clear();
    this.#toldAt = performance.now();
    for (const line of text.split('\n')) this.#stream.write(`${this.#elapsed()} ${line}\n`);
  }

  update(text: string): void {
    if (!this.#stream.isTTY) {
      if (performance.now() - this.#toldAt >= UPDATE_MILLISECONDS) this.note(text);
      return;
    }
    this.#clear();
    this.#stream.write(`${this.#elapsed()} ${text}`.slice(0, (this.#stream.columns || 80) - 1));
    this.#hasUpdate = true;
  }

  /** Text as it is, without the time. */
  print(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  /** Tells that a step begins and, when it succeeded, how long it took. */
  async step<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    this.update(`${name} ...`);
    const result = await work();
    this.note(`${name}: ${formatElapsed(performance.now() - startedAt)}`);
    return result;
  }

  #elapsed(): string {
    return `[${formatElapsed(performance.now() - this.#startedAt).padStart(5)}]`;
  }

  #clear(): void {
    if (this.#hasUpdate) this.#stream.write('\r\u001b[2K');
    this.#hasUpdate = false;
  }
}

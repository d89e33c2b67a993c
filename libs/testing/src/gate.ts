/** A door that tests close to hold something up. Who comes while it is closed waits; `arrived` tells that somebody does. */
export class Gate {
  readonly #opened: Promise<void>;
  readonly #arrived: Promise<void>;
  #open: () => void = () => undefined;
  #arrive: () => void = () => undefined;

  constructor() {
    this.#opened = new Promise((resolve) => (this.#open = resolve));
    this.#arrived = new Promise((resolve) => (this.#arrive = resolve));
  }

  /** Resolves when the first one waits at the door. */
  get arrived(): Promise<void> {
    return this.#arrived;
  }

  pass(): Promise<void> {
    this.#arrive();
    return this.#opened;
  }

  open(): void {
    this.#open();
  }
}

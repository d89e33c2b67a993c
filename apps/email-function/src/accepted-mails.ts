/** When the server took a mail whose status could not be written yet, by Message-ID. It holds so many; the oldest is forgotten first. */
export class AcceptedMails {
  readonly #limit: number;
  readonly #times = new Map<string, Date>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Undefined: not taken, or forgotten. */
  get(messageId: string): Date | undefined {
    return this.#times.get(messageId);
  }

  add(messageId: string, time: Date): void {
    this.#times.set(messageId, time);
    for (const oldest of this.#times.keys()) {
      if (this.#times.size <= this.#limit) break;
      this.#times.delete(oldest);
    }
  }

  delete(messageId: string): void {
    this.#times.delete(messageId);
  }
}

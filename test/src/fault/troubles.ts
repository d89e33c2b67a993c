/** A time in which requests for some areas may fail. */
export interface Trouble {
  /** It is over: what begins later than `graceMs` from now has to go well. */
  end(graceMs?: number): void;
}

interface Span {
  readonly areas: ReadonlySet<string>;
  readonly from: number;
  to: number;
}

/** When which keys were allowed to be away. Points in time are those of `performance.now()`. */
export class Troubles {
  readonly #spans: Span[] = [];

  begin(areas: readonly string[]): Trouble {
    const span = { areas: new Set(areas), from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.#spans.push(span);
    return { end: (graceMs = 0) => (span.to = performance.now() + graceMs) };
  }

  /** Whether something that went on from `from` to `to` met trouble in one of the areas. */
  meets(areas: readonly string[], from: number, to: number): boolean {
    return this.#spans.some((span) => span.from <= to && from <= span.to && areas.some((area) => span.areas.has(area)));
  }
}

/** Half-open intervals of keys as byte strings (one char per byte), which JavaScript compares as the bytes compare. */
export interface KeyInterval {
  readonly from: string;
  /** First key after the interval; null: no upper end. */
  readonly to: string | null;
}

/** The byte string of a text's UTF-8 form. */
export function toByteString(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** The text of a byte string, for people. */
export function fromByteString(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}

/** Every key that begins with `prefix`. */
export function prefixInterval(prefix: string): KeyInterval {
  return { from: prefix, to: prefixEnd(prefix) };
}

/** The first key after all that begin with `prefix`; null: there is none. */
function prefixEnd(prefix: string): string | null {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 0xff) {
    length--;
  }
  return length === 0 ? null : prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}

export function pointInterval(key: string): KeyInterval {
  return { from: key, to: `${key}\0` };
}

/** What two intervals share; undefined: nothing. */
export function intersect(a: KeyInterval, b: KeyInterval): KeyInterval | undefined {
  const from = a.from > b.from ? a.from : b.from;
  const to = a.to === null ? b.to : b.to === null || a.to < b.to ? a.to : b.to;
  return to === null || from < to ? { from, to } : undefined;
}

/** What is left of `interval` without `taken`: none, one or two intervals. */
export function subtract(interval: KeyInterval, taken: KeyInterval): KeyInterval[] {
  const shared = intersect(interval, taken);
  if (shared === undefined) {
    return [interval];
  }
  const rest: KeyInterval[] = [];
  if (interval.from < shared.from) {
    rest.push({ from: interval.from, to: shared.from });
  }
  if (shared.to !== null && (interval.to === null || shared.to < interval.to)) {
    rest.push({ from: shared.to, to: interval.to });
  }
  return rest;
}

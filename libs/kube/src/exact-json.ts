// Whole numbers of Kubernetes are of 64 bits, of which a number of JavaScript holds 53: JSON.parse makes 9007199254740992 of 9007199254740993.

const LARGEST = 2n ** 63n - 1n;
const SMALLEST = -(2n ** 63n);

/** Where this does not match, no whole number is too large. Where it does it may still be a text. */
const MAYBE_LARGE = /[0-9]{16}/;
const WHOLE = /^-?[0-9]+$/;

/** `JSON.parse`, but whole numbers of 64 bits that a number cannot hold are bigints. Those of more bits are floating point numbers, as in Go. */
export function parseExact(text: string): unknown {
  if (!MAYBE_LARGE.test(text)) return JSON.parse(text) as unknown;
  return JSON.parse(text, (_key: string, value: unknown, context?: { readonly source?: string }): unknown => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const source = context?.source ?? '';
    if (!WHOLE.test(source)) return value;
    const whole = BigInt(source);
    return whole <= LARGEST && whole >= SMALLEST ? whole : value;
  }) as unknown;
}

/** `JSON.stringify` for values with bigints, which are written as their digits. */
export function stringifyExact(value: unknown): string {
  const replacer = hasBigint(value)
    ? (_key: string, each: unknown) => (typeof each === 'bigint' ? rawJson(each.toString()) : each)
    : undefined;
  return JSON.stringify(value, replacer);
}

function hasBigint(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint';
  return Object.values(value).some(hasBigint);
}

/** Not in TypeScript's library yet. */
function rawJson(text: string): unknown {
  return (JSON as typeof JSON & { rawJSON(text: string): unknown }).rawJSON(text);
}

/** Durations as Go writes and reads them (`time.ParseDuration`), since the reference's flags and files use that syntax. */

const MILLISECONDS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

// Go keeps a duration in 63 bits of nanoseconds.
const MAX_MILLISECONDS = 2 ** 63 / 1e6;

/** Milliseconds of a duration such as `5m0s`, `1h`, `1.5s` or `0`; undefined when `text` is none. A sign is allowed. */
export function parseGoDuration(text: string): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1;
  const body = /^[-+]/.test(text) ? text.slice(1) : text;
  if (body === '0') {
    return 0;
  }
  if (!/^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body)) {
    return undefined;
  }
  let total = 0;
  for (const [, number, unit] of body.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(number) * (MILLISECONDS[unit ?? ''] ?? Number.NaN);
  }
  // Whole nanoseconds: the sum of binary fractions is not exact.
  const rounded = Math.round(total * 1e6) / 1e6;
  return rounded < MAX_MILLISECONDS ? sign * rounded || 0 : undefined;
}

/** The duration as Go prints it: `5m0s`, `1h0m0s`, `1.5s`, `100ms`, `0s`. */
export function formatGoDuration(milliseconds: number): string {
  if (milliseconds === 0) {
    return '0s';
  }
  const sign = milliseconds < 0 ? '-' : '';
  const size = Math.abs(milliseconds);
  if (size < 1e-3) {
    return `${sign}${Math.round(size * 1e6)}ns`;
  }
  if (size < 1) {
    return `${sign}${fixed(size * 1e3, 3)}µs`;
  }
  if (size < 1000) {
    return `${sign}${fixed(size, 6)}ms`;
  }
  const hours = Math.floor(size / 3_600_000);
  const minutes = Math.floor((size % 3_600_000) / 60_000);
  const seconds = fixed((size % 60_000) / 1000, 9);
  if (hours > 0) {
    return `${sign}${hours}h${minutes}m${seconds}s`;
  }
  return minutes > 0 ? `${sign}${minutes}m${seconds}s` : `${sign}${seconds}s`;
}

function fixed(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

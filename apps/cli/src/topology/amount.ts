const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'];

export function keysText(keys: number): string {
  return keys === 1 ? '1 key' : `${keys} keys`;
}

export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let size = bytes / 1024;
  let unit = 0;
  for (; size >= 1024 && unit < UNITS.length - 1; unit++) size /= 1024;
  return `${size.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

/** `12 keys, 3.4 KiB`; what is not known is left out. */
export function amountText({
  keys,
  bytes,
}: {
  readonly keys?: number | null | undefined;
  readonly bytes?: number | null | undefined;
}): string {
  if (keys === null || keys === undefined) return 'keys not known';
  return bytes === null || bytes === undefined ? keysText(keys) : `${keysText(keys)}, ${bytesText(bytes)}`;
}

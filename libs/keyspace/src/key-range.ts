import type { KeyRange } from './model.js';

const ZERO = Buffer.from([0]);

/** The range that holds exactly one key. Its end is made when somebody asks: most requests never do. */
class SingleKey implements KeyRange {
  readonly single = true;
  #end: Buffer | undefined;

  constructor(readonly start: Buffer) {}

  get end(): Buffer {
    return (this.#end ??= Buffer.concat([this.start, ZERO]));
  }
}

export const EVERY_KEY: KeyRange = { start: Buffer.alloc(0), end: null, single: false };

export function singleKey(key: Buffer): KeyRange {
  return new SingleKey(key);
}

/**
 * A range as etcd's requests spell it: no `rangeEnd` means the key alone, a single zero byte means no upper end
 * (etcd api/etcdserverpb/rpc.proto, RangeRequest.range_end, v3.6).
 */
export function keyRange(key: Buffer, rangeEnd: Buffer): KeyRange {
  if (rangeEnd.length === 0) return singleKey(key);
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { start: key, end: null, single: false };
  return { start: key, end: rangeEnd, single: false };
}

/** First key behind all keys that begin with `prefix`; null when there is none. */
export function prefixEnd(prefix: Buffer): Buffer | null {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] as number;
    if (byte < 0xff) {
      const end = Buffer.from(prefix.subarray(0, i + 1));
      end[i] = byte + 1;
      return end;
    }
  }
  return null;
}

export function prefixRange(prefix: Buffer): KeyRange {
  return { start: prefix, end: prefixEnd(prefix), single: false };
}

export function isEmptyRange(range: KeyRange): boolean {
  return range.end !== null && Buffer.compare(range.start, range.end) >= 0;
}

export function contains(range: KeyRange, key: Buffer): boolean {
  if (range.single) return range.start.equals(key);
  return Buffer.compare(key, range.start) >= 0 && (range.end === null || Buffer.compare(key, range.end) < 0);
}

/** The prefix whose keys the range holds exactly; null when it is not the range of a prefix. */
export function prefixOf(range: KeyRange): Buffer | null {
  if (range.single) return null;
  const end = prefixEnd(range.start);
  if (range.end === null) return end === null ? range.start : null;
  return end !== null && end.equals(range.end) ? range.start : null;
}

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * The prefix under which a key's resource is counted: `/registry/pods/` for `/registry/pods/ns/name`, and one segment
 * more where the first is an API group or `services` (`/registry/apps.example.com/things/`, `/registry/services/specs/`).
 * Null for a key that lies in no such prefix. Kubernetes lists whole resources by exactly these prefixes.
 */
export function countedPrefix(key: Buffer): Buffer | null {
  if (key[0] !== SLASH) return null;
  const second = key.indexOf(SLASH, 1);
  if (second < 0) return null;
  const third = key.indexOf(SLASH, second + 1);
  if (third < 0) return null;
  const segment = key.subarray(second + 1, third);
  if (!segment.includes(DOT) && !segment.equals(SERVICES)) return key.subarray(0, third + 1);
  const fourth = key.indexOf(SLASH, third + 1);
  return fourth < 0 ? null : key.subarray(0, fourth + 1);
}

const SERVICES = Buffer.from('services');

import { encodeKeyValue, framedSize, type KeyRange, type KeyValue, recordSize, revisionOf, writeFramedRecord } from '@harikube/keyspace';
import type { EtcdClient } from './etcd-client.js';
import type { RangeCall, RangeReply } from './etcd-messages.js';
import { decodeKeyMeta, type KeyMeta, keyOfMeta, metaKey, METAS_END, OWN_END, OWN_PREFIX, type PartRow } from './own-keys.js';

/** A live key without its value. */
export interface Entry extends KeyMeta {
  readonly key: Buffer;
}

/** A write of a part that counts at the revision read, over the state before the part. */
export type Overlay = readonly { readonly key: Buffer; readonly entry: Entry | null; readonly value: Buffer }[];

export interface EntryPage {
  readonly entries: readonly Entry[];
  /** Null: the range ends with this page. */
  readonly next: Buffer | null;
}

/** Metadata read at once. */
const PAGE_ENTRIES = 4096;
const NO_BYTES = Buffer.alloc(0);
const ZERO = Buffer.from([0]);

/**
 * The keys at one local revision of an etcd, with what a part that counts only in parts has changed above it. Metadata is read
 * first: it tells how large the values are, so that they are read in pieces of bounded size.
 */
export class EtcdSnapshot {
  constructor(
    private readonly client: EtcdClient,
    readonly local: bigint,
    private readonly overlay: Overlay,
    /** Gets the store's revision of each answer. */
    private readonly saw: (revision: bigint) => void,
    private readonly foreign: (what: string) => Error,
  ) {}

  /** Something stands over the local revision. */
  get isOverlaid(): boolean {
    return this.overlay.length > 0;
  }

  /** Keys in the range. */
  async count(range: KeyRange): Promise<number> {
    const { count } = await this.#range({ ...metaRange(range.start, range.end), countOnly: true });
    return count + this.#overlaid(range.start, range.end).reduce((sum, { entry, isNew }) => sum + (entry === null ? -1 : isNew ? 1 : 0), 0);
  }

  /** The entries from `start` on, at least one unless there is none. */
  async page(start: Buffer, end: Buffer | null, limit: number): Promise<EntryPage> {
    let from = start;
    for (;;) {
      const wanted = Math.min(limit, PAGE_ENTRIES);
      const { kvs, more } = await this.#range({ ...metaRange(from, end), limit: wanted });
      const found = kvs.map(entryOf);
      const last = found.at(-1);
      const next = more && last !== undefined ? Buffer.concat([last.key, ZERO]) : null;
      const entries = merged(found, this.#overlaid(from, next ?? end));
      if (entries.length > limit) {
        const page = entries.slice(0, limit);
        return { entries: page, next: Buffer.concat([page.at(-1)?.key ?? from, ZERO]) };
      }
      if (next === null || entries.length > 0) return { entries, next };
      from = next;
    }
  }

  /** The framed records of entries that follow one another, in one block. */
  async block(entries: readonly Entry[], keysOnly: boolean): Promise<Buffer<ArrayBuffer>> {
    const values = keysOnly ? null : await this.#values(entries);
    let size = 0;
    for (const entry of entries) size += framedSizeOf(entry, keysOnly);
    const block = Buffer.allocUnsafeSlow(size);
    let at = 0;
    entries.forEach((entry, i) => {
      const value = values?.[i] ?? NO_BYTES;
      at = writeFramedRecord(block, at, recordOf(entry, value));
    });
    return block;
  }

  async #values(entries: readonly Entry[]): Promise<readonly Buffer[]> {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return [];
    const end = Buffer.concat([last.key, ZERO]);
    const overlaid = new Map(this.#overlaid(first.key, end).map(({ key, value }) => [key.toString('latin1'), value]));
    const kvs: KeyValue[] = [];
    for (const part of clientRanges(first.key, end)) kvs.push(...(await this.#range(part)).kvs);
    let at = 0;
    return entries.map(({ key, valueLength }) => {
      const value = overlaid.get(key.toString('latin1'));
      if (value !== undefined) return value;
      for (; at < kvs.length; at++) {
        const kv = kvs[at] as KeyValue;
        if (kv.key.equals(key)) break;
        if (!overlaid.has(kv.key.toString('latin1'))) throw this.foreign(`the key ${kv.key.toString()} has no metadata`);
      }
      const kv = kvs[at++];
      if (kv === undefined) throw this.foreign(`the key ${key.toString()} is gone, its metadata is there`);
      if (kv.value.length !== valueLength) throw this.foreign(`the value of ${key.toString()} is not the one that was written`);
      return kv.value;
    });
  }

  async #range(call: Omit<RangeCall, 'revision'>): Promise<RangeReply> {
    const reply = await this.client.range({ ...call, revision: this.local });
    this.saw(reply.revision);
    return reply;
  }

  #overlaid(start: Buffer, end: Buffer | null): readonly (Overlay[number] & { readonly isNew: boolean })[] {
    return this.overlay
      .filter(({ key }) => Buffer.compare(key, start) >= 0 && (end === null || Buffer.compare(key, end) < 0))
      .map((each) => ({ ...each, isNew: each.entry !== null && each.entry.version === 1n }));
  }
}

/** In the order of keys; what is overlaid takes the place of what was found. */
function merged(found: readonly Entry[], overlaid: Overlay): readonly Entry[] {
  if (overlaid.length === 0) return found;
  const entries = new Map(found.map((entry) => [entry.key.toString('latin1'), entry]));
  for (const { key, entry } of overlaid) {
    const name = key.toString('latin1');
    if (entry === null) entries.delete(name);
    else entries.set(name, entry);
  }
  return [...entries.values()].sort((a, b) => Buffer.compare(a.key, b.key));
}

function entryOf(kv: KeyValue): Entry {
  return { ...decodeKeyMeta(kv.value), key: keyOfMeta(kv.key) };
}

/** A put of a part as it stands from there on. */
export function entryOfRow({ id, key, createRevision, version, lease }: PartRow, valueLength: number): Entry {
  return { id, key, createRevision, version, lease, valueLength };
}

export function recordOf({ id, key, createRevision, version, lease }: Entry, value: Buffer): Buffer {
  return encodeKeyValue({ key, createRevision, modRevision: revisionOf(id), version, value, lease });
}

export function framedSizeOf({ id, key, createRevision, version, lease, valueLength }: Entry, keysOnly: boolean): number {
  const modRevision = revisionOf(id);
  return framedSize(
    recordSize({ createRevision, modRevision, version, lease, keyLength: key.length, valueLength: keysOnly ? 0 : valueLength }),
  );
}

/** The metadata of the keys of a range. */
function metaRange(start: Buffer, end: Buffer | null): { readonly start: Buffer; readonly end: Buffer } {
  return { start: metaKey(start), end: end === null ? METAS_END : metaKey(end) };
}

/** A range without the router's own keys. etcd takes no empty key, and one zero byte for no end. */
export function clientRanges(start: Buffer, end: Buffer | null): readonly { readonly start: Buffer; readonly end: Buffer }[] {
  const first = start.length === 0 ? ZERO : start;
  const pieces = [
    { start: first, end: end === null || Buffer.compare(end, OWN_PREFIX) > 0 ? OWN_PREFIX : end },
    { start: Buffer.compare(first, OWN_END) < 0 ? OWN_END : first, end },
  ];
  return pieces
    .filter((piece) => piece.end === null || Buffer.compare(piece.start, piece.end) < 0)
    .map((piece) => ({ start: piece.start, end: piece.end ?? ZERO }));
}

import { CommitFailedError, type CommitBatch, revisionOf, type RowWrite } from '@harikube/keyspace';
import type { EtcdEndpoint } from '../topology/endpoints/etcd.js';
import { GUARD_BYTES, GUARD_OPS } from './etcd-guard.js';
import { deleteOp, type Compare, type RequestOp, isAbsent, putOp, sizeInTxn } from './etcd-messages.js';
import { encodeKeyMeta, encodePart, holdKey, isOwnKey, metaKey, OWN_PREFIX, partKey, partRowSize } from './own-keys.js';

export type EtcdLimits = Pick<EtcdEndpoint, 'maxTxnOps' | 'maxRequestBytes'>;

/** One etcd txn of a batch. */
export interface Part {
  readonly ops: readonly RequestOp[];
  readonly compares: readonly Compare[];
}

/** Operations and compares that belong together. */
export interface Unit {
  readonly ops: readonly RequestOp[];
  readonly compares: readonly Compare[];
  readonly bytes: number;
}

/** Bytes of a part beside its rows: its key in the log with the tags around it. */
const PART_BYTES = 128;
const NO_BYTES = Buffer.alloc(0);

/**
 * The txns that a batch is written by, in order: as few as the limits of ops and bytes allow, with no key twice in one, which
 * etcd refuses. Throws CommitFailedError for a batch that cannot be written.
 */
export function partsOf(batch: CommitBatch, limits: EtcdLimits): readonly Part[] {
  checkRows(batch);
  const parts: Part[] = [];
  let rows: RowWrite[] = [];
  let filling = new Filling(limits, 1, PART_BYTES);
  let keys = new Set<string>();
  const close = (): void => {
    const last = rows.at(-1);
    if (last === undefined) return;
    parts.push({ ops: [...filling.ops, putOp(partKey(last.id), encodePart(rows))], compares: filling.compares });
    rows = [];
    filling = new Filling(limits, 1, PART_BYTES);
    keys = new Set();
  };
  for (const row of batch.rows) {
    const unit = unitOf(row);
    const name = row.key.toString('latin1');
    if (keys.has(name) || !filling.fits(unit)) close();
    if (!filling.fits(unit)) throw tooLarge(row, unit, limits);
    filling.add(unit);
    rows.push(row);
    keys.add(name);
  }
  close();
  return parts;
}

/** Puts units together into as few txns as the limits allow. A unit that fits in none stands alone. */
export function packed(units: readonly Unit[], limits: EtcdLimits): readonly Part[] {
  const parts: Part[] = [];
  let filling = new Filling(limits, 0, 0);
  for (const unit of units) {
    if (!filling.fits(unit) && filling.ops.length > 0) {
      parts.push(filling);
      filling = new Filling(limits, 0, 0);
    }
    filling.add(unit);
  }
  if (filling.ops.length > 0) parts.push(filling);
  return parts;
}

export function unit(ops: readonly RequestOp[], compares: readonly Compare[] = []): Unit {
  return { ops, compares, bytes: [...ops, ...compares].reduce((sum, each) => sum + sizeInTxn(each), 0) };
}

/** The most bytes that a value of this key may have. */
export function largestValue(key: Buffer, isLeased: boolean, { maxRequestBytes }: EtcdLimits): number {
  const row = { id: 0n, key, value: NO_BYTES, record: NO_BYTES, createRevision: 0n, version: 0n, tombstone: false, prevId: 0n };
  const { bytes } = unitOf({ ...row, lease: isLeased ? BIG_LEASE : 0n });
  // The lengths before a large value and around it take more bytes than those of an empty one.
  return maxRequestBytes - GUARD_BYTES - PART_BYTES - bytes - LENGTH_BYTES;
}

const BIG_LEASE = 2n ** 62n;
const LENGTH_BYTES = 16;

/** The value is so far below the limit that nothing has to be counted. A txn names a key in five places. */
export function surelyFits(key: Buffer, value: Buffer, { maxRequestBytes }: EtcdLimits): boolean {
  return value.length + 8 * key.length + 2 * GUARD_BYTES <= maxRequestBytes;
}

class Filling implements Part {
  readonly ops: RequestOp[] = [];
  readonly compares: Compare[] = [];
  #bytes: number;

  constructor(
    private readonly limits: EtcdLimits,
    private readonly extraOps: number,
    extraBytes: number,
  ) {
    this.#bytes = GUARD_BYTES + extraBytes;
  }

  fits({ ops, compares, bytes }: Unit): boolean {
    const { maxTxnOps, maxRequestBytes } = this.limits;
    return (
      this.ops.length + ops.length + this.extraOps + GUARD_OPS <= maxTxnOps &&
      this.compares.length + compares.length < maxTxnOps &&
      this.#bytes + bytes <= maxRequestBytes
    );
  }

  add({ ops, compares, bytes }: Unit): void {
    this.ops.push(...ops);
    this.compares.push(...compares);
    this.#bytes += bytes;
  }
}

function unitOf(row: RowWrite): Unit {
  const { id, key, value, createRevision, version, lease, tombstone, prevId } = row;
  const compares = prevId === 0n ? [isAbsent(key)] : [];
  const ops: RequestOp[] = [];
  if (tombstone) {
    ops.push(deleteOp(key), deleteOp(metaKey(key)));
  } else {
    const meta = encodeKeyMeta({ id, createRevision, version, lease, valueLength: value.length });
    ops.push(putOp(key, value), putOp(metaKey(key), meta));
    if (lease !== 0n) ops.push(putOp(holdKey(lease, key), NO_BYTES));
  }
  const { bytes } = unit(ops, compares);
  return { ops, compares, bytes: bytes + partRowSize(row) };
}

function checkRows({ rows, firstRevision, lastRevision }: CommitBatch): void {
  let last = -1n;
  for (const { id, key } of rows) {
    const revision = revisionOf(id);
    if (id <= last) throw new CommitFailedError(`the row ${id} does not stand behind ${last}`);
    if (revision < firstRevision || revision > lastRevision) throw new CommitFailedError(`the row ${id} is not of its batch`);
    if (isOwnKey(key)) {
      throw new CommitFailedError(
        `the key ${key.toString()} is under ${OWN_PREFIX.toString()}, where the router keeps its own; choose another`,
      );
    }
    last = id;
  }
}

function tooLarge({ key, value }: RowWrite, { bytes }: Unit, { maxRequestBytes }: EtcdLimits): CommitFailedError {
  return new CommitFailedError(
    `the value of ${key.toString()} has ${value.length} bytes, ${bytes + GUARD_BYTES + PART_BYTES} with what is kept beside it, and etcd takes ` +
      `${maxRequestBytes}; raise etcd's --max-request-bytes and max-request-bytes of the endpoint`,
  );
}

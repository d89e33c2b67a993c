import { randomBytes, randomUUID } from 'node:crypto';
import type { ControlState, KeyValue, LeaseRow, Revision, WriterIdentity, WriterRecord } from '@harikube/keyspace';
import { RefusedDatabaseError } from '../database-errors.js';
import type { EtcdClient } from './etcd-client.js';
import { CompareFailedError, type EtcdGuard } from './etcd-guard.js';
import { deleteOp, type RequestOp, isAtRevision, putOp, type RangeCall } from './etcd-messages.js';
import { CONTROL_KEY, fromJson, leaseKey, LEASES, LEASES_END, MARKS_KEY, toJson, TOPOLOGY_KEY, WRITER_KEY } from './own-keys.js';

/** The content of CONTROL_KEY. */
export interface StoredControl {
  readonly storeId: string;
  readonly clusterId: bigint;
  readonly reservedRevision: Revision;
  readonly compactRevision: Revision;
}

/** Leases read at once. */
const PAGE_LEASES = 1000;

/** What a default store of this moment has: nobody has written yet. */
export function freshControl(revision: Revision, compactRevision: Revision): StoredControl {
  const clusterId = (randomBytes(8).readBigUInt64BE() >> 1n) | 1n;
  return { storeId: randomUUID(), clusterId, reservedRevision: revision, compactRevision };
}

/** The default database's records, each under a key of its own. */
export class EtcdControl {
  #control: StoredControl | null = null;
  #writer: WriterRecord | null = null;

  constructor(
    private readonly client: EtcdClient,
    private readonly guard: EtcdGuard,
  ) {}

  async writer(): Promise<WriterRecord | null> {
    const { kvs } = await this.client.range(keyAlone(WRITER_KEY));
    return recordIn(kvs[0]);
  }

  async begin(self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null> {
    const [writer, control] = (await this.client.keys([WRITER_KEY, CONTROL_KEY])).kvs;
    if (!isSameWriter(recordIn(writer), seen)) return null;
    const kept = control === undefined ? null : fromJson<StoredControl>(control.value);
    const next = kept ?? freshControl(1n, 0n);
    let record: WriterRecord | null = null;
    let local: bigint;
    try {
      local = await this.guard.takeOver((meta) => {
        if (kept === null && meta.storeId !== null) {
          throw new RefusedDatabaseError(
            `${this.client.location} cannot be the default database: it is one of the other databases of the store ${meta.storeId}; ` +
              'name the right one in --endpoint',
          );
        }
        const { holder, address, leaseMs } = self;
        record = { holder, address, leaseMs, epoch: meta.epoch + 1n, renewals: 0n, isReleased: false };
        return {
          meta: { ...meta, epoch: meta.epoch + 1n, storeId: next.storeId },
          ops: [putOp(WRITER_KEY, toJson(record)), putOp(CONTROL_KEY, toJson(next))],
          compares: [WRITER_KEY, CONTROL_KEY].map((key, i) => isAtRevision(key, [writer, control][i]?.modRevision ?? 0n)),
        };
      });
    } catch (error) {
      if (error instanceof CompareFailedError) return null;
      throw error;
    }
    this.#control = next;
    this.#writer = record;
    const { storeId, clusterId, reservedRevision, compactRevision } = next;
    const { epoch } = this.guard.meta;
    const [leases, marks] = await Promise.all([this.#leases(local), this.#marks(local)]);
    return { storeId, clusterId, reservedRevision, compactRevision, epoch, leases, marks };
  }

  async renew(marks: ReadonlyMap<string, Revision>): Promise<void> {
    const { writer } = this.#held;
    const next = { ...writer, renewals: writer.renewals + 1n };
    // Remembered before it is known to be there: a renewal whose answer is lost is not to be sent again as the same one.
    this.#writer = next;
    await this.#write(putOp(WRITER_KEY, toJson(next)), putOp(MARKS_KEY, toJson(Object.fromEntries(marks))));
  }

  async release(): Promise<void> {
    await this.#write(putOp(WRITER_KEY, toJson({ ...this.#held.writer, isReleased: true })));
  }

  reserve(reservedRevision: Revision): Promise<void> {
    return this.#change({ reservedRevision });
  }

  setCompactRevision(compactRevision: Revision): Promise<void> {
    return this.#change({ compactRevision });
  }

  saveLease(lease: LeaseRow): Promise<void> {
    return this.#write(putOp(leaseKey(lease.id), toJson(lease)));
  }

  removeLease(id: bigint): Promise<void> {
    return this.#write(deleteOp(leaseKey(id)));
  }

  async topology(): Promise<string | null> {
    const { kvs } = await this.client.range(keyAlone(TOPOLOGY_KEY));
    return kvs[0]?.value.toString() ?? null;
  }

  saveTopology(topology: string): Promise<void> {
    return this.#write(putOp(TOPOLOGY_KEY, Buffer.from(topology)));
  }

  get #held(): { readonly control: StoredControl; readonly writer: WriterRecord } {
    if (this.#control === null || this.#writer === null)
      throw new Error(`etcd ${this.client.location} was not begun as the default database`);
    return { control: this.#control, writer: this.#writer };
  }

  async #change(change: Partial<StoredControl>): Promise<void> {
    const next = { ...this.#held.control, ...change };
    this.#control = next;
    await this.#write(putOp(CONTROL_KEY, toJson(next)));
  }

  async #write(...ops: readonly RequestOp[]): Promise<void> {
    await this.guard.write({ ops });
  }

  async #leases(revision: bigint): Promise<LeaseRow[]> {
    const leases: LeaseRow[] = [];
    for (let start = LEASES; ;) {
      const { kvs, more } = await this.client.range({ start, end: LEASES_END, limit: PAGE_LEASES, revision });
      for (const { value } of kvs) leases.push(fromJson<LeaseRow>(value));
      const last = kvs.at(-1);
      if (!more || last === undefined) return leases;
      start = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  async #marks(revision: bigint): Promise<ReadonlyMap<string, Revision>> {
    const { kvs } = await this.client.range({ ...keyAlone(MARKS_KEY), revision });
    return new Map(kvs[0] === undefined ? [] : Object.entries(fromJson<Record<string, Revision>>(kvs[0].value)));
  }
}

function keyAlone(key: Buffer): RangeCall {
  return { start: key, end: null };
}

function recordIn(kv: KeyValue | undefined): WriterRecord | null {
  return kv === undefined ? null : fromJson<WriterRecord>(kv.value);
}

function isSameWriter(found: WriterRecord | null, seen: WriterRecord | null): boolean {
  if (found === null || seen === null) return found === seen;
  return found.epoch === seen.epoch && found.renewals === seen.renewals && found.isReleased === seen.isReleased;
}

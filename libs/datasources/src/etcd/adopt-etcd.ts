import { type KeyValue, type LeaseRow, type Revision, rowId } from '@harikube/keyspace';
import type { DatabaseSettings } from '../database.js';
import { DatabaseOpenError, RefusedDatabaseError } from '../database-errors.js';
import { type EtcdEndpoint, etcdLocation } from '../topology/endpoints/etcd.js';
import { clientOptions, countKeys, freshMeta } from './etcd-backend.js';
import { EtcdCallError, EtcdClient } from './etcd-client.js';
import { freshControl, type StoredControl } from './etcd-control.js';
import { CompareFailedError, EtcdGuard, foreignRevisions } from './etcd-guard.js';
import { checkMembers } from './etcd-members.js';
import { deleteOp, isAbsent, isAtRevision, putOp } from './etcd-messages.js';
import { largestValue, packed, type Unit, unit } from './etcd-parts.js';
import { clientRanges } from './etcd-snapshot.js';
import {
  CONTROL_KEY,
  decodeKeyMeta,
  decodeStoreMeta,
  encodeKeyMeta,
  encodeStoreMeta,
  fromJson,
  holdKey,
  keyOfMeta,
  leaseKey,
  META_KEY,
  metaKey,
  METAS,
  METAS_END,
  PARTS,
  PARTS_END,
  type StoreMeta,
  toJson,
} from './own-keys.js';

/** How far a way in or out has come. */
export interface EtcdProgress {
  readonly phase: 'looking' | 'leases' | 'keys' | 'revisions';
  readonly done: number;
  readonly total: number;
}

export interface AdoptOptions {
  /** Only looks. */
  readonly dryRun: boolean;
  readonly onProgress?: (progress: EtcdProgress) => void;
}

/** A key whose value is too large to be written again with what the router keeps beside it. */
export interface LargeKey {
  readonly key: string;
  readonly bytes: number;
  readonly isLeased: boolean;
}

export interface AdoptReport {
  readonly location: string;
  /** It has been the router's already; there was nothing to do. */
  readonly isAdopted: boolean;
  /** Revisions of an etcd that was adopted before which somebody else wrote since. What they changed is taken over as the router's newest writes. */
  readonly foreignRevisions: bigint;
  readonly keys: number;
  /** Of keys and values. */
  readonly bytes: number;
  readonly leases: number;
  /** They are put again without their lease, which the router's takes the place of. */
  readonly leasedKeys: number;
  /** Keys served as they are, whose next value has to be smaller; those with a lease keep the etcd from being adopted. */
  readonly tooLarge: readonly LargeKey[];
  /** The router's clock starts above it. */
  readonly revision: Revision;
}

/** Keys read at once, with their values. */
const PAGE_KEYS = 100;
const ZERO = Buffer.from([0]);
const NO_BYTES = Buffer.alloc(0);

/**
 * Makes the etcd of a cluster the default database of a router, in place: its keys keep their values, mod revisions, create
 * revisions and versions. Nothing else may write there meanwhile, which is found out. It may be cut short anywhere and called again.
 */
export async function adoptEtcd(endpoint: EtcdEndpoint, settings: DatabaseSettings, options: AdoptOptions): Promise<AdoptReport> {
  const client = new EtcdClient(clientOptions(endpoint, settings));
  try {
    await checkMembers(client);
    return await new Adoption(client, endpoint, options).run();
  } catch (error) {
    throw error instanceof EtcdCallError ? new DatabaseOpenError(etcdLocation(endpoint), error) : error;
  } finally {
    client.close();
  }
}

interface Found {
  readonly meta: StoreMeta;
  /** Null: it is not a default database. */
  readonly control: StoredControl | null;
  /** Local revisions that are not of the router. */
  readonly foreign: bigint;
}

class Adoption {
  constructor(
    private readonly client: EtcdClient,
    private readonly endpoint: EtcdEndpoint,
    private readonly options: AdoptOptions,
  ) {}

  async run(): Promise<AdoptReport> {
    const { location } = this.client;
    const before = await this.#look();
    if (before?.meta.task === 'leaving') {
      throw new RefusedDatabaseError(`${location} is being left: let \`harikube leave --endpoint ${location}\` come to its end first`);
    }
    const isAdopted = before !== null && before.meta.task === null && before.foreign === 0n;
    if (before !== null && !isAdopted && before.meta.storeId !== null && before.control === null) {
      throw new RefusedDatabaseError(
        `${location} is not the default database of the store ${before.meta.storeId}, and what somebody else wrote there cannot be taken over; restore it`,
      );
    }
    const report = { ...(await this.#survey()), isAdopted, foreignRevisions: before?.foreign ?? 0n };
    if (this.options.dryRun || isAdopted) return report;
    const stuck = report.tooLarge.filter(({ isLeased }) => isLeased);
    if (stuck.length > 0) {
      throw new RefusedDatabaseError(
        `${location} cannot be adopted: ${stuck.map(({ key, bytes }) => `${key} (${bytes} bytes)`).join(', ')} cannot be put again beside the metadata; ` +
          "raise etcd's --max-request-bytes and max-request-bytes of the endpoint, or remove the key",
      );
    }
    try {
      return { ...report, revision: await this.#adopt(before, report.keys) };
    } catch (error) {
      if (!(error instanceof CompareFailedError) && !(error instanceof RefusedDatabaseError)) throw error;
      throw new RefusedDatabaseError(
        `${location}: somebody else wrote there while it was being adopted (${error.message}): stop every kube-apiserver that has it in its ` +
          '--etcd-servers, and adopt it again; nothing is lost',
        { cause: error },
      );
    }
  }

  async #look(): Promise<Found | null> {
    const { kvs, revision } = await this.client.keys([META_KEY, CONTROL_KEY]);
    const [kv, control] = kvs;
    if (kv === undefined) return null;
    const meta = decodeStoreMeta(kv.value);
    return {
      meta,
      control: control === undefined ? null : fromJson<StoredControl>(control.value),
      foreign: foreignRevisions(kv) + revision - kv.modRevision - meta.ignored,
    };
  }

  async #survey(): Promise<Omit<AdoptReport, 'isAdopted' | 'foreignRevisions'>> {
    const { keys, revision } = await countKeys(this.client);
    const tooLarge: LargeKey[] = [];
    let done = 0;
    let bytes = 0;
    let leasedKeys = 0;
    await this.#walk((page) => {
      for (const { key, value, lease } of page) {
        bytes += key.length + value.length;
        if (lease !== 0n) leasedKeys++;
        if (value.length > largestValue(key, lease !== 0n, this.endpoint)) {
          tooLarge.push({ key: key.toString(), bytes: value.length, isLeased: lease !== 0n });
        }
      }
      done += page.length;
      this.#tell('looking', done, keys);
      return Promise.resolve();
    });
    const leases = (await this.client.leases()).length;
    return { location: this.client.location, keys: done, bytes, leases, leasedKeys, tooLarge, revision };
  }

  /** The revision above which the clock starts. */
  async #adopt(before: Found | null, keys: number): Promise<Revision> {
    if (before === null) await this.#makeMeta();
    const guard = new EtcdGuard('default', this.client);
    // Whatever router still has it loses it here.
    await guard.accept((meta) => ({ ...meta, epoch: meta.epoch + 1n, task: 'adopting' }));
    const { meta, at } = guard;
    const control = before?.control ?? null;
    const above = control === null ? null : greatest(control.reservedRevision, meta.lastRevision, at) + 1n;
    const numbers = above === null ? numbersInEtcd : numbersAbove(above);
    await this.#takeLeases(at, numbers);
    // What was written for the leases, and what their ends took along.
    await guard.accept((held) => held);
    const revision = above ?? guard.at;
    await this.#writeMetas(guard, keys, numbers);
    const next = { ...(control ?? freshControl(revision, revision)), reservedRevision: revision, compactRevision: revision };
    try {
      await guard.write({
        ops: [putOp(CONTROL_KEY, toJson(next)), deleteOp(PARTS, PARTS_END)],
        change: (held) => ({
          ...held,
          storeId: next.storeId,
          lastRevision: revision,
          floor: { local: guard.at, lastRevision: revision },
          pending: null,
          task: null,
        }),
      });
      guard.check();
    } catch (error) {
      if (error instanceof RefusedDatabaseError) await guard.accept((held) => ({ ...held, task: 'adopting' }));
      throw error;
    }
    return revision;
  }

  async #makeMeta(): Promise<void> {
    const { revision } = await this.client.range({ start: META_KEY, end: null });
    const meta: StoreMeta = { ...freshMeta({ local: revision, lastRevision: revision }), task: 'adopting' };
    const success = [putOp(META_KEY, encodeStoreMeta(meta))];
    const { succeeded } = await this.client.txn({ compares: [isAbsent(META_KEY)], success, failure: [] });
    if (!succeeded) throw new CompareFailedError('another one adopts it at the same time');
  }

  /** Every lease becomes one of the router's, and its keys are put again without it. */
  async #takeLeases(at: bigint, numbers: Numbers): Promise<void> {
    const ids = await this.client.leases();
    for (const [i, id] of ids.entries()) {
      const { ttl, grantedTtl, keys } = await this.client.lease(id);
      if (ttl > 0n) {
        const row: LeaseRow = { id, ttl: grantedTtl, expiresAt: Date.now() + Number(ttl) * 1000, renewed: false };
        await this.#write(at, [unit([putOp(leaseKey(id), toJson(row))])]);
        for (let from = 0; from < keys.length; from += PAGE_KEYS) {
          await this.#detach(at, keys.slice(from, from + PAGE_KEYS), id, numbers);
        }
      }
      this.#tell('leases', i + 1, ids.length);
    }
  }

  async #detach(at: bigint, keys: readonly Buffer[], lease: bigint, numbers: Numbers): Promise<void> {
    const { kvs: found } = await this.client.keys(keys.flatMap((key) => [key, metaKey(key)]));
    const units: Unit[] = [];
    keys.forEach((_, i) => {
      const [kv, meta] = found.slice(2 * i, 2 * i + 2);
      if (kv?.lease !== lease) return;
      const ops = [putOp(kv.key, kv.value), putOp(metaKey(kv.key), numbers(kv, meta, lease)), putOp(holdKey(lease, kv.key), NO_BYTES)];
      units.push(unit(ops, [isAtRevision(kv.key, kv.modRevision)]));
    });
    await this.#write(at, units);
  }

  /** As long as nobody else has the meta key, which is left as it is. */
  async #write(at: bigint, units: readonly Unit[]): Promise<void> {
    for (const { ops, compares } of packed(units, this.endpoint)) {
      const { succeeded } = await this.client.txn({ compares: [isAtRevision(META_KEY, at), ...compares], success: ops, failure: [] });
      if (!succeeded) throw new CompareFailedError('a key with a lease was changed');
    }
  }

  /** Metadata for each key that has none, or an older one. That of a key that is gone is removed. */
  async #writeMetas(guard: EtcdGuard, total: number, numbers: Numbers): Promise<void> {
    let done = 0;
    let from: Buffer = METAS;
    await this.#walk(async (page, isLast) => {
      const last = page.at(-1);
      if (last === undefined && !isLast) return;
      const end = isLast || last === undefined ? METAS_END : Buffer.concat([metaKey(last.key), ZERO]);
      const known = new Map((await this.#metasIn(from, end)).map((meta) => [keyOfMeta(meta.key).toString('latin1'), meta]));
      from = end;
      const units: Unit[] = [];
      for (const kv of page) {
        if (kv.lease !== 0n) throw new CompareFailedError(`the key ${kv.key.toString()} has a lease again`);
        const name = kv.key.toString('latin1');
        const meta = known.get(name);
        known.delete(name);
        if (meta !== undefined && meta.modRevision >= kv.modRevision) continue;
        units.push(unit([putOp(metaKey(kv.key), numbers(kv, meta, 0n))], [isAtRevision(kv.key, kv.modRevision)]));
      }
      for (const { key } of known.values()) units.push(unit([deleteOp(key)]));
      for (const { ops, compares } of packed(units, this.endpoint)) await guard.write({ ops, compares });
      done += page.length;
      this.#tell('keys', done, total);
    });
  }

  async #metasIn(start: Buffer, end: Buffer): Promise<readonly KeyValue[]> {
    const kvs: KeyValue[] = [];
    for (let from = start; ;) {
      const page = await this.client.range({ start: from, end, limit: 10 * PAGE_KEYS });
      kvs.push(...page.kvs);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return kvs;
      from = Buffer.concat([last.key, ZERO]);
    }
  }

  /** Every key that is not the router's own, in pages. The last page may be empty. */
  async #walk(visit: (page: readonly KeyValue[], isLast: boolean) => Promise<void>): Promise<void> {
    const ranges = clientRanges(NO_BYTES, null);
    for (const [i, { start, end }] of ranges.entries()) {
      for (let from = start; ;) {
        const { kvs, more } = await this.client.range({ start: from, end, limit: PAGE_KEYS });
        const last = kvs.at(-1);
        const isOver = !more || last === undefined;
        await visit(kvs, isOver && i === ranges.length - 1);
        if (isOver) break;
        from = Buffer.concat([last.key, ZERO]);
      }
    }
  }

  #tell(phase: EtcdProgress['phase'], done: number, total: number): void {
    this.options.onProgress?.({ phase, done, total });
  }
}

/** The metadata of a key as it stands in etcd. */
type Numbers = (kv: KeyValue, older: KeyValue | undefined, lease: bigint) => Buffer;

/** The numbers that the key has in etcd. */
const numbersInEtcd: Numbers = ({ modRevision, createRevision, version, value }, _, lease) =>
  encodeKeyMeta({ id: rowId(modRevision, 0), createRevision, version, lease, valueLength: value.length });

/** What somebody else wrote below the router counts as written at this revision. */
function numbersAbove(revision: Revision): Numbers {
  return ({ value }, older, lease) => {
    const known = older === undefined ? null : decodeKeyMeta(older.value);
    const createRevision = known?.createRevision ?? revision;
    return encodeKeyMeta({
      id: rowId(revision, 0),
      createRevision,
      version: (known?.version ?? 0n) + 1n,
      lease,
      valueLength: value.length,
    });
  };
}

function greatest(...revisions: readonly Revision[]): Revision {
  return revisions.reduce((most, revision) => (revision > most ? revision : most), 0n);
}

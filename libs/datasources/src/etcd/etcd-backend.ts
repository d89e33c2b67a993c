import { randomUUID } from 'node:crypto';
import {
  type BackendState,
  type ChangesAnswer,
  type ChangesQuery,
  type CommitBatch,
  CommitFailedError,
  CommitUnknownError,
  type ControlState,
  FencedError,
  type Head,
  isEmptyRange,
  type KeyValue,
  type LeaseRow,
  type LoadAnswer,
  ownedBlock,
  type RangeAnswer,
  type RangeQuery,
  type Revision,
  revisionOf,
  RolledBackError,
  rowId,
  type WriterClaim,
  type WriterIdentity,
  type WriterRecord,
  messageOf,
} from '@harikube/keyspace';
import type { Database, DatabaseGlance, DatabaseSettings } from '../database.js';
import { DatabaseOpenError, RefusedDatabaseError } from '../database-errors.js';
import { type EtcdEndpoint, etcdLocation } from '../topology/endpoints/etcd.js';
import { EtcdChanges } from './etcd-changes.js';
import { EtcdCallError, EtcdClient, type EtcdClientOptions } from './etcd-client.js';
import { EtcdControl } from './etcd-control.js';
import { CompareFailedError, EtcdGuard, type Pin } from './etcd-guard.js';
import { checkMembers } from './etcd-members.js';
import { deleteOp, isAbsent, putOp, type RangeCall } from './etcd-messages.js';
import { largestValue, packed, partsOf, surelyFits, unit } from './etcd-parts.js';
import { planOf, restOf } from './etcd-range.js';
import { clientRanges, entryOfRow, EtcdSnapshot, type Overlay, recordOf } from './etcd-snapshot.js';
import {
  decodeKeyMeta,
  decodePart,
  decodeStoreMeta,
  encodeStoreMeta,
  HOLDS,
  HOLDS_END,
  holdsOf,
  META_KEY,
  metaKey,
  parseHold,
  partKey,
  PARTS,
  PARTS_END,
  type StoreMeta,
} from './own-keys.js';
import { undoHalf } from './undo-half.js';

/** Keys of a lease that are looked at together. */
const PAGE_KEYS = 1000;

const ZERO = Buffer.from([0]);

/**
 * A backend in an etcd. Clients' values stand under their own keys exactly as they were written; what else is to be known of
 * them is beside them (`own-keys.ts`). A batch is one etcd txn, or several where etcd's limits ask for it; readers see it
 * when the last of them is there, and what a crash leaves of the first ones is undone by whoever writes next. The past is read
 * from etcd's own history, by the local revision at which it stood.
 */
export class EtcdBackend implements Database {
  readonly isExclusive = false;
  readonly name: string;
  #endpoint: EtcdEndpoint;
  #settings: DatabaseSettings;
  #open: OpenEtcd | null = null;
  #opening: Promise<void> | null = null;
  #owner: string | null = null;
  #identity = '';
  /** Local revisions at which answers are still being read, with their number. */
  readonly #held = new Map<bigint, number>();
  /** Where the last read at an older revision was found: pages follow one another at the same one. */
  #past: { readonly revision: Revision; readonly local: bigint; readonly overlay: Overlay } | null = null;

  constructor(
    endpoint: EtcdEndpoint,
    settings: DatabaseSettings,
    private readonly connect = (options: EtcdClientOptions) => new EtcdClient(options),
  ) {
    this.name = settings.name;
    this.#endpoint = endpoint;
    this.#settings = settings;
  }

  get location(): string {
    return etcdLocation(this.#endpoint);
  }

  get identity(): string {
    return this.#identity;
  }

  get owner(): string | null {
    return this.#owner;
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  misfit(key: Buffer, value: Buffer): string | null {
    if (surelyFits(key, value, this.#endpoint)) return null;
    const most = largestValue(key, true, this.#endpoint);
    if (value.length <= most) return null;
    return `its value has ${value.length} bytes, and ${this.location} takes ${most} beside what is kept with it; raise etcd's --max-request-bytes and max-request-bytes of the endpoint`;
  }

  configure(endpoint: EtcdEndpoint, settings: DatabaseSettings): Promise<void> {
    this.#endpoint = endpoint;
    this.#settings = settings;
    this.#open?.client.configure(clientOptions(endpoint, settings));
    return Promise.resolve();
  }

  open(): Promise<void> {
    if (this.#open !== null) return Promise.resolve();
    this.#opening ??= this.#connect().finally(() => (this.#opening = null));
    return this.#opening;
  }

  async #connect(): Promise<void> {
    const client = this.connect(clientOptions(this.#endpoint, this.#settings));
    const guard = new EtcdGuard(this.name, client);
    try {
      await checkMembers(client);
      const meta = (await guard.look()) ?? (await this.#make(client, guard));
      this.#check(meta);
      this.#identity = meta.identity;
      this.#owner = meta.storeId;
    } catch (error) {
      client.close();
      throw error instanceof RefusedDatabaseError ? error : new DatabaseOpenError(this.location, error);
    }
    const changes = new EtcdChanges(client, guard, () => this.#endpoint.maxTxnOps);
    this.#open = { client, guard, control: new EtcdControl(client, guard), changes };
  }

  async #make(client: EtcdClient, guard: EtcdGuard): Promise<StoreMeta> {
    const { keys, revision } = await countKeys(client);
    if (keys > 0) {
      throw new RefusedDatabaseError(
        `${this.location} holds ${keys} keys that no router wrote: take them over with \`harikube adopt --endpoint ${this.location}\`, or name an empty etcd`,
      );
    }
    const meta = freshMeta({ local: revision, lastRevision: 0n });
    await client.txn({ compares: [isAbsent(META_KEY)], success: [putOp(META_KEY, encodeStoreMeta(meta))], failure: [] });
    // Another router may have made it in the same moment.
    const made = await guard.look();
    if (made === null) throw new Error('what was written is not there');
    return made;
  }

  #check({ identity, task }: StoreMeta): void {
    if (task !== null) {
      const command = task === 'adopting' ? 'adopt' : 'leave';
      throw new RefusedDatabaseError(
        `${this.location} is being ${task === 'adopting' ? 'adopted' : 'left'}: let \`harikube ${command} --endpoint ${this.location}\` come to its end`,
      );
    }
    const { expectedIdentity } = this.#settings;
    if (expectedIdentity !== null && identity !== expectedIdentity) {
      throw new RefusedDatabaseError(
        `${this.location} is not the database that backend "${this.name}" had: its identity is ${identity}, recorded is ${expectedIdentity}; ` +
          'name the old one, or give the new one another name in the topology',
      );
    }
  }

  writer(): Promise<WriterRecord | null> {
    return this.#opened.control.writer();
  }

  async begin(self: WriterIdentity, seen: WriterRecord | null): Promise<ControlState | null> {
    const control = await this.#opened.control.begin(self, seen);
    if (control !== null) this.#owner = control.storeId;
    return control;
  }

  renew(marks: ReadonlyMap<string, Revision>): Promise<void> {
    return this.#opened.control.renew(marks);
  }

  release(): Promise<void> {
    return this.#opened.control.release();
  }

  reserve(revision: Revision): Promise<void> {
    return this.#opened.control.reserve(revision);
  }

  setCompactRevision(revision: Revision): Promise<void> {
    return this.#opened.control.setCompactRevision(revision);
  }

  saveLease(lease: LeaseRow): Promise<void> {
    return this.#opened.control.saveLease(lease);
  }

  removeLease(id: bigint): Promise<void> {
    return this.#opened.control.removeLease(id);
  }

  appliedTopology(): Promise<string | null> {
    return this.#opened.control.topology();
  }

  saveAppliedTopology(topology: string): Promise<void> {
    return this.#opened.control.saveTopology(topology);
  }

  async claim({ storeId, epoch }: WriterClaim): Promise<BackendState> {
    await this.open();
    const { guard } = this.#opened;
    await guard.takeOver((meta) => {
      this.#check(meta);
      this.#owner = meta.storeId ?? storeId;
      if (this.#owner !== storeId) {
        throw new RefusedDatabaseError(
          `${this.location} belongs to the store ${this.#owner}, not to this one (${storeId}); ` +
            'start with the default database that it belongs to, or name an etcd of its own',
        );
      }
      if (meta.epoch > epoch) throw new FencedError(this.name, epoch, meta.epoch);
      return { meta: { ...meta, storeId, epoch }, ops: [], compares: [] };
    });
    this.#past = null;
    await this.#undo();
    return { identity: this.#identity, lastRevision: guard.meta.lastRevision };
  }

  async commit(batch: CommitBatch): Promise<void> {
    const { guard } = this.#opened;
    const parts = partsOf(batch, this.#endpoint);
    try {
      // What an earlier commit left half-written, when etcd was away by the time it was to be undone.
      await this.#undo();
      guard.check();
    } catch (error) {
      throw failureOf(error);
    }
    const { lastRevision, previousRevision } = batch;
    if (previousRevision !== guard.meta.lastRevision) throw new RolledBackError(this.name, previousRevision, guard.meta.lastRevision);
    const base = guard.pin.local;
    for (const [i, part] of parts.entries()) {
      const isLast = i === parts.length - 1;
      const change = (meta: StoreMeta): StoreMeta =>
        isLast ? { ...meta, lastRevision, pending: null } : { ...meta, pending: { lastRevision, base } };
      try {
        await guard.write({ ...part, change });
      } catch (error) {
        if (error instanceof EtcdCallError && !error.isCertain) throw new CommitUnknownError(error.message, { cause: error });
        if (i > 0) await this.#giveUp(error);
        throw failureOf(error);
      }
    }
  }

  /** Takes back the first parts of a batch that cannot go on. */
  async #giveUp(reason: unknown): Promise<void> {
    // The writer that took over has undone them, or will.
    if (reason instanceof FencedError) return;
    try {
      await this.#undo();
    } catch (error) {
      if (error instanceof FencedError) throw error;
      throw new CommitUnknownError(`${messageOf(reason)}; it is written in part, and that cannot be taken back: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  async resolve(): Promise<Revision> {
    const { guard } = this.#opened;
    await guard.settle();
    await this.#undo();
    return guard.meta.lastRevision;
  }

  #undo(): Promise<void> {
    const { client, guard } = this.#opened;
    return undoHalf(client, guard, this.#endpoint);
  }

  async load(keys: readonly Buffer[]): Promise<LoadAnswer> {
    const { guard } = this.#opened;
    const { local, lastRevision } = guard.pin;
    if (keys.length === 0) return { lastRevision, heads: [] };
    const size = Math.floor(this.#endpoint.maxTxnOps / 2);
    const chunks = Array.from({ length: Math.ceil(keys.length / size) }, (_, i) => keys.slice(i * size, (i + 1) * size));
    const heads = await Promise.all(chunks.map((chunk) => this.#heads(chunk, local)));
    return { lastRevision, heads: heads.flat() };
  }

  async #heads(keys: readonly Buffer[], local: bigint): Promise<readonly (Head | null)[]> {
    const found = await this.#readAt(
      local,
      keys.flatMap((key) => [key, metaKey(key)]),
    );
    return keys.map((key, i) => {
      const value = found[2 * i];
      const meta = found[2 * i + 1];
      if (value === undefined && meta === undefined) return null;
      if (value === undefined || meta === undefined || value.modRevision > meta.modRevision) {
        throw this.#opened.guard.foreign(`the key ${key.toString()} and its metadata are not of one write`);
      }
      const { id, ...kept } = decodeKeyMeta(meta.value);
      return { id, record: recordOf({ id, ...kept, key }, value.value) };
    });
  }

  async range(query: RangeQuery): Promise<RangeAnswer> {
    const { range, limit, keysOnly, countOnly } = query;
    const { pin, meta } = this.#opened.guard;
    const { lastRevision } = pin;
    if (isEmptyRange(range)) return { lastRevision, count: 0, more: false, records: 0, bytes: 0, blocks: [] };
    const releaseAll = this.#hold(meta.floor.local);
    let snapshot: EtcdSnapshot;
    let release: () => void;
    try {
      snapshot = await this.#snapshotAt(query.revision, pin);
      release = this.#hold(snapshot.local);
    } finally {
      releaseAll();
    }
    let isKept = false;
    try {
      if (countOnly) {
        const count = await snapshot.count(range);
        return { lastRevision, count, more: false, records: 0, bytes: 0, blocks: [] };
      }
      const plan = await planOf(snapshot, range, limit > 0 ? limit : Number.MAX_SAFE_INTEGER, keysOnly);
      const [blocks, total] = await Promise.all([
        Promise.all(plan.blocks.map((entries) => snapshot.block(entries, keysOnly))),
        plan.isEnd ? plan.records : query.count || plan.isDoubtful ? snapshot.count(range) : null,
      ]);
      const { records, bytes, next } = plan;
      const count = total === null ? null : Math.max(total, records);
      const answer = { lastRevision, count, more: count === null || count > records, records, bytes, blocks: blocks.map(ownedBlock) };
      if (next === null) return answer;
      isKept = true;
      return { ...answer, rest: restOf(snapshot, range, next, records - plan.read, keysOnly, release) };
    } finally {
      if (!isKept) release();
    }
  }

  /** The state at a revision: a local one, and over it the rows of a part that has rows of later revisions, too. */
  async #snapshotAt(revision: Revision, pin: Pin): Promise<EtcdSnapshot> {
    const { client, guard } = this.#opened;
    const snapshot = (local: bigint, overlay: Overlay): EtcdSnapshot =>
      new EtcdSnapshot(
        client,
        local,
        overlay,
        (seen) => guard.saw(seen),
        (what) => guard.foreign(what),
      );
    if (revision === 0n || revision >= pin.lastRevision) return snapshot(pin.local, []);
    if (this.#past?.revision === revision) return snapshot(this.#past.local, this.#past.overlay);
    const { kvs } = await client.range({ start: partKey(rowId(revision + 1n, 0)), end: PARTS_END, limit: 1, revision: pin.local });
    const [later] = kvs;
    if (later === undefined) return snapshot(pin.local, []);
    const rows = decodePart(later.value).filter(({ id }) => revisionOf(id) <= revision);
    const puts = rows.filter(({ isDelete }) => !isDelete);
    const values = await this.#readAt(
      later.modRevision,
      puts.map(({ key }) => key),
    );
    const overlay = rows.map((row) => {
      const value = values[puts.indexOf(row)]?.value ?? NO_BYTES;
      return { key: row.key, entry: row.isDelete ? null : entryOfRow(row, value.length), value };
    });
    this.#past = { revision, local: later.modRevision - 1n, overlay };
    return snapshot(later.modRevision - 1n, overlay);
  }

  async changes(query: ChangesQuery): Promise<ChangesAnswer> {
    const { guard, changes } = this.#opened;
    const { pin } = guard;
    const release = this.#hold(guard.meta.floor.local);
    try {
      if (isEmptyRange(query.range)) return { lastRevision: pin.lastRevision, changes: [], through: query.through };
      return await changes.read(query, pin);
    } finally {
      release();
    }
  }

  async keysOfLease(lease: bigint, limit: number): Promise<readonly Buffer[]> {
    const { guard } = this.#opened;
    const { at, pin } = guard;
    const keys: Buffer[] = [];
    const left: Buffer[] = [];
    const prefix = holdsOf(lease);
    await this.#walk({ start: prefix, end: endBehind(prefix), keysOnly: true }, pin.local, async (page) => {
      const metas = await this.#metasOf(page, pin.local);
      page.forEach((hold, i) => {
        if (metas[i] === lease) keys.push(parseHold(hold.key).key);
        else left.push(hold.key);
      });
      return keys.length < limit;
    });
    // In the middle of a batch the state that was looked at is not the newest.
    if (left.length > 0 && keys.length < limit && pin.local === at) await this.#forget(at, left);
    return keys.slice(0, limit);
  }

  async leasesInUse(): Promise<readonly bigint[]> {
    const { pin } = this.#opened.guard;
    const leases = new Set<bigint>();
    await this.#walk({ start: HOLDS, end: HOLDS_END, keysOnly: true }, pin.local, async (page) => {
      const unknown = page.filter(({ key }) => !leases.has(parseHold(key).lease));
      const metas = await this.#metasOf(unknown, pin.local);
      unknown.forEach(({ key }, i) => {
        const { lease } = parseHold(key);
        if (metas[i] === lease) leases.add(lease);
      });
      return true;
    });
    return [...leases];
  }

  /** The leases of the keys that are held; undefined where there is no such key. */
  async #metasOf(holds: readonly KeyValue[], local: bigint): Promise<readonly (bigint | undefined)[]> {
    const metas = await this.#readAt(
      local,
      holds.map(({ key }) => metaKey(parseHold(key).key)),
    );
    return metas.map((meta) => (meta === undefined ? undefined : decodeKeyMeta(meta.value).lease));
  }

  /** Removes holds of keys that have left their lease, unless anything was written since they were looked at. */
  async #forget(at: bigint, holds: readonly Buffer[]): Promise<void> {
    const { guard } = this.#opened;
    const [first] = packed(
      holds.map((hold) => unit([deleteOp(hold)])),
      this.#endpoint,
    );
    if (first !== undefined) await guard.writeIfStill(at, { ops: first.ops });
  }

  async compact(revision: Revision, signal: AbortSignal): Promise<void> {
    const { client, guard, changes } = this.#opened;
    const { local: now } = guard.pin;
    const { kvs } = await client.range({ start: partKey(rowId(revision, 0)), end: PARTS_END, limit: 1, keysOnly: true, revision: now });
    const local = kvs[0] === undefined ? now : kvs[0].modRevision - 1n;
    const change = (meta: StoreMeta): StoreMeta =>
      local > meta.floor.local ? { ...meta, floor: { local, lastRevision: revision - 1n } } : meta;
    await guard.write({ ops: [], change });
    if (this.#past !== null && this.#past.local < local) this.#past = null;
    changes.forget();
    const end = partKey(rowId(revision, 0));
    while (!signal.aborted) {
      const parts = await client.range({ start: PARTS, end, limit: this.#settings.compactBatchSize, keysOnly: true });
      const last = parts.kvs.at(-1);
      if (last === undefined) break;
      await guard.write({ ops: [deleteOp(PARTS, Buffer.concat([last.key, ZERO]))] });
    }
    if (!signal.aborted) await this.#compactHistory(client, guard.meta.floor.local);
  }

  /** Answers that are being read keep their state; the next compaction passes them. */
  async #compactHistory(client: EtcdClient, floor: bigint): Promise<void> {
    const local = [...this.#held.keys()].reduce((least, held) => (held < least ? held : least), floor);
    try {
      await client.compact(local);
    } catch (error) {
      if (!(error instanceof EtcdCallError) || !error.isCompacted) throw error;
    }
  }

  async size(): Promise<{ readonly bytes: number; readonly inUse: number }> {
    const { bytes, bytesInUse } = await this.#opened.client.status();
    return { bytes, inUse: bytesInUse };
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    this.#open?.client.close();
    this.#open = null;
    this.#past = null;
  }

  get #opened(): OpenEtcd {
    if (this.#open === null) throw new Error(`${this.location} is not open`);
    return this.#open;
  }

  /** The keys as they stood at a local revision; undefined where there was none. */
  async #readAt(revision: bigint, keys: readonly Buffer[]): Promise<readonly (KeyValue | undefined)[]> {
    const { client, guard } = this.#opened;
    const found = await client.keys(keys, revision);
    guard.saw(found.revision);
    return found.kvs;
  }

  /** Goes through a range in pages, until `visit` has enough. */
  async #walk(
    call: RangeCall & { readonly end: Buffer },
    revision: bigint,
    visit: (page: readonly KeyValue[]) => Promise<boolean>,
  ): Promise<void> {
    for (let { start } = call; ;) {
      const { kvs, more } = await this.#opened.client.range({ ...call, start, revision, limit: PAGE_KEYS });
      const last = kvs.at(-1);
      const goesOn = await visit(kvs);
      if (!goesOn || !more || last === undefined) return;
      start = Buffer.concat([last.key, ZERO]);
    }
  }

  /** Keeps a local revision from being compacted until the returned function is called. */
  #hold(local: bigint): () => void {
    this.#held.set(local, (this.#held.get(local) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const left = (this.#held.get(local) ?? 1) - 1;
      if (left > 0) this.#held.set(local, left);
      else this.#held.delete(local);
    };
  }
}

interface OpenEtcd {
  readonly client: EtcdClient;
  readonly guard: EtcdGuard;
  readonly control: EtcdControl;
  readonly changes: EtcdChanges;
}

/** What is in an etcd, without changing anything there. */
export async function glanceAtEtcd(endpoint: EtcdEndpoint, settings: DatabaseSettings): Promise<DatabaseGlance> {
  const client = new EtcdClient(clientOptions(endpoint, settings));
  try {
    await checkMembers(client);
    const { kvs } = await client.range({ start: META_KEY, end: null });
    const meta = kvs[0] === undefined ? null : decodeStoreMeta(kvs[0].value);
    const { keys } = await countKeys(client);
    return { identity: meta?.identity ?? null, storeId: meta?.storeId ?? null, keys };
  } catch (error) {
    throw error instanceof RefusedDatabaseError ? error : new DatabaseOpenError(etcdLocation(endpoint), error);
  } finally {
    client.close();
  }
}

export function clientOptions(endpoint: EtcdEndpoint, { tls, requestTimeoutMs }: DatabaseSettings): EtcdClientOptions {
  return { endpoint, tls, requestTimeoutMs };
}

/** What a database is that nobody has written to. */
export function freshMeta(floor: StoreMeta['floor']): StoreMeta {
  return {
    identity: randomUUID(),
    storeId: null,
    epoch: 0n,
    lastRevision: floor.lastRevision,
    floor,
    pending: null,
    ignored: 0n,
    task: null,
  };
}

/** Keys that are not the router's own. */
export async function countKeys(client: EtcdClient): Promise<{ readonly keys: number; readonly revision: bigint }> {
  const { revision, ranges } = await client.ranges(clientRanges(NO_BYTES, null).map((range) => ({ ...range, countOnly: true })));
  return { keys: ranges.reduce((sum, { count }) => sum + count, 0), revision };
}

const NO_BYTES = Buffer.alloc(0);

/** First key behind those that begin with a prefix that ends in a slash. */
function endBehind(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

/** A commit that certainly did not take place. */
function failureOf(error: unknown): unknown {
  if (error instanceof CommitFailedError) return error;
  if (error instanceof CompareFailedError) return new CommitFailedError(error.message, true);
  return new CommitFailedError(messageOf(error));
}

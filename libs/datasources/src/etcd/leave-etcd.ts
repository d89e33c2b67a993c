import { setTimeout as delay } from 'node:timers/promises';
import { type KeyValue, type LeaseRow, type Revision, type WriterRecord } from '@harikube/keyspace';
import type { DatabaseSettings } from '../database.js';
import { DatabaseOpenError, RefusedDatabaseError } from '../database-errors.js';
import { type EtcdEndpoint, etcdLocation } from '../topology/endpoints/etcd.js';
import type { EtcdProgress } from './adopt-etcd.js';
import { clientOptions, countKeys, EtcdBackend } from './etcd-backend.js';
import { EtcdCallError, EtcdClient } from './etcd-client.js';
import type { StoredControl } from './etcd-control.js';
import { CompareFailedError, EtcdGuard } from './etcd-guard.js';
import { checkMembers } from './etcd-members.js';
import { deleteOp, isAtRevision, putOp } from './etcd-messages.js';
import { packed, unit, type Unit } from './etcd-parts.js';
import {
  CONTROL_KEY,
  decodeKeyMeta,
  decodeStoreMeta,
  fromJson,
  keyOfMeta,
  LEASES,
  LEASES_END,
  META_KEY,
  METAS,
  METAS_END,
  OWN_END,
  OWN_PREFIX,
  type StoreMeta,
  TOPOLOGY_KEY,
  WRITER_KEY,
} from './own-keys.js';

export interface LeaveOptions {
  /** Only looks. */
  readonly dryRun: boolean;
  readonly onProgress?: (progress: EtcdProgress) => void;
}

export interface LeaveReport {
  readonly location: string;
  readonly keys: number;
  readonly leases: number;
  /** Etcd's revision is to be above this one, the last that was handed out. */
  readonly revision: Revision;
  /** Txns that raise etcd's revision to it, one for each number. */
  readonly missingRevisions: number;
}

/** Keys written again in one go, as many as one txn takes at most. */
const PAGE_KEYS = 60;
/** Txns under way at the same time, each of which raises the revision by one. */
const PARALLEL_TXNS = 32;
const ALREADY_EXISTS = 'lease already exists';

/**
 * Gives an etcd back to be used without a router: its revision is raised above every one that the router handed out, every
 * key is written once more, with its lease as one of etcd's, and what the router kept is removed. It may be cut short anywhere
 * and called again; no router serves the etcd from its first step on.
 */
export async function leaveEtcd(endpoint: EtcdEndpoint, settings: DatabaseSettings, options: LeaveOptions): Promise<LeaveReport> {
  const client = new EtcdClient(clientOptions(endpoint, settings));
  try {
    await checkMembers(client);
    return await new Leaving(client, endpoint, settings, options).run();
  } catch (error) {
    if (error instanceof CompareFailedError) {
      throw new RefusedDatabaseError(
        `${etcdLocation(endpoint)}: somebody else wrote there while it was being left (${error.message}): stop every router and kube-apiserver that ` +
          'has it, and leave it again; nothing is lost',
        { cause: error },
      );
    }
    throw error instanceof EtcdCallError ? new DatabaseOpenError(etcdLocation(endpoint), error) : error;
  } finally {
    client.close();
  }
}

interface Found {
  readonly meta: StoreMeta;
  readonly control: StoredControl;
  readonly writer: WriterRecord | null;
}

class Leaving {
  constructor(
    private readonly client: EtcdClient,
    private readonly endpoint: EtcdEndpoint,
    private readonly settings: DatabaseSettings,
    private readonly options: LeaveOptions,
  ) {}

  async run(): Promise<LeaveReport> {
    const found = await this.#look();
    const report = await this.#survey(found);
    if (this.options.dryRun) return report;
    const guard = new EtcdGuard('default', this.client);
    if (found.meta.task === null) {
      await this.#awaitEndOf(found.writer);
      await this.#undoHalves();
    }
    await guard.takeOver((meta) => ({ meta: { ...meta, epoch: meta.epoch + 1n, task: 'leaving' }, ops: [], compares: [] }));
    const { at } = guard;
    await this.#raise(at, report.revision);
    const leases = await this.#returnLeases();
    await this.#rewrite(at, report.keys, leases);
    await this.#write(at, [deleteOp(OWN_PREFIX, OWN_END)], []);
    return report;
  }

  async #look(): Promise<Found> {
    const { location } = this.client;
    const keys = [META_KEY, CONTROL_KEY, WRITER_KEY, TOPOLOGY_KEY];
    const [kv, control, writer, topology] = (await this.client.keys(keys)).kvs;
    if (kv === undefined) throw new RefusedDatabaseError(`${location} was never a router's; there is nothing to leave`);
    const meta = decodeStoreMeta(kv.value);
    if (meta.task === 'adopting') {
      throw new RefusedDatabaseError(`${location} is being adopted: let \`harikube adopt --endpoint ${location}\` come to its end first`);
    }
    if (control === undefined) {
      throw new RefusedDatabaseError(
        `${location} is not the default database of the store ${meta.storeId ?? ''}: move its keys by a change of the topology instead`,
      );
    }
    const rules =
      topology === undefined ? [] : (fromJson<{ readonly rules?: readonly { readonly name: string }[] }>(topology.value).rules ?? []);
    if (rules.length > 0) {
      throw new RefusedDatabaseError(
        `${location} is not the only database of its store: first move the keys of ${rules.map(({ name }) => `"${name}"`).join(', ')} back ` +
          'by taking their rules out of the topology',
      );
    }
    return { meta, control: fromJson(control.value), writer: writer === undefined ? null : fromJson(writer.value) };
  }

  async #survey({ meta, control }: Found): Promise<LeaveReport> {
    const { keys, revision } = await countKeys(this.client);
    const { count } = await this.client.range({ start: LEASES, end: LEASES_END, countOnly: true });
    const last = control.reservedRevision > meta.lastRevision ? control.reservedRevision : meta.lastRevision;
    const missing = last > revision ? Number(last - revision) : 0;
    return { location: this.client.location, keys, leases: count, revision: last, missingRevisions: missing };
  }

  /** A router that lives renews its lease while it is watched. */
  async #awaitEndOf(writer: WriterRecord | null): Promise<void> {
    if (writer === null || writer.isReleased) return;
    const deadline = performance.now() + writer.leaseMs;
    while (performance.now() < deadline) {
      await delay(Math.min(500, writer.leaseMs));
      const { kvs } = await this.client.range({ start: WRITER_KEY, end: null });
      const found = kvs[0] === undefined ? null : fromJson<WriterRecord>(kvs[0].value);
      if (found === null || found.isReleased) return;
      if (found.epoch !== writer.epoch || found.renewals !== writer.renewals) {
        throw new RefusedDatabaseError(
          `${this.client.location} is served by a router${found.address === '' ? '' : ` at ${found.address}`}: stop every router and kube-apiserver that has it first`,
        );
      }
    }
  }

  /** What a router that was killed left of a batch is taken back, as its successor would do. */
  async #undoHalves(): Promise<void> {
    const backend = new EtcdBackend(this.endpoint, this.settings);
    await backend.open();
    try {
      const { storeId, epoch } = (await backend.begin({ holder: 'leave', address: '', leaseMs: 0 }, await backend.writer())) ?? {};
      if (storeId === undefined || epoch === undefined) throw new CompareFailedError('a router has begun');
      await backend.claim({ storeId, epoch });
      await backend.release();
    } finally {
      await backend.close();
    }
  }

  async #raise(at: bigint, wanted: Revision): Promise<void> {
    const { revision: from } = await this.client.range({ start: META_KEY, end: null, keysOnly: true });
    const total = Number(wanted - from);
    let started = 0;
    let done = 0;
    const raise = async (): Promise<void> => {
      while (started < total) {
        started++;
        await this.#write(at, [putOp(RAISED_KEY, NO_BYTES)], []);
        done++;
        if (done % PROGRESS_STEP === 0 || done === total) this.#tell('revisions', done, total);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL_TXNS }, raise));
  }

  /** The leases that etcd has again. One that has ended gets the shortest time there is. */
  async #returnLeases(): Promise<ReadonlySet<bigint>> {
    const { kvs } = await this.client.range({ start: LEASES, end: LEASES_END });
    const returned = new Set<bigint>();
    for (const { value } of kvs) {
      const { id, ttl, expiresAt, renewed } = fromJson<LeaseRow>(value);
      const left = BigInt(Math.max(1, Math.ceil((expiresAt - Date.now()) / 1000)));
      await this.#grant(id, renewed && left > 1n ? ttl : left);
      returned.add(id);
      this.#tell('leases', returned.size, kvs.length);
    }
    return returned;
  }

  async #grant(id: bigint, ttl: bigint): Promise<void> {
    try {
      await this.client.grantLease(id, ttl);
    } catch (error) {
      // By an attempt before this one.
      if (!(error instanceof EtcdCallError) || !error.message.includes(ALREADY_EXISTS)) throw error;
    }
  }

  /** A key whose metadata is gone is done. */
  async #rewrite(at: bigint, total: number, leases: ReadonlySet<bigint>): Promise<void> {
    for (;;) {
      const metas = (await this.client.range({ start: METAS, end: METAS_END, limit: PAGE_KEYS })).kvs;
      if (metas.length === 0) return;
      const { kvs } = await this.client.keys(metas.map((meta) => keyOfMeta(meta.key)));
      const units = metas.map((meta, i) => this.#rewriteOf(meta, kvs[i], leases));
      for (const { ops, compares } of packed(units, this.endpoint)) await this.#write(at, ops, compares);
      const { count } = await this.client.range({ start: METAS, end: METAS_END, countOnly: true });
      this.#tell('keys', Math.max(total - count, 0), total);
    }
  }

  #rewriteOf(meta: KeyValue, kv: KeyValue | undefined, leases: ReadonlySet<bigint>): Unit {
    const { lease } = decodeKeyMeta(meta.value);
    const key = keyOfMeta(meta.key);
    if (kv === undefined) throw new CompareFailedError(`the key ${key.toString()} is gone`);
    const compares = [isAtRevision(key, kv.modRevision)];
    // The key of a lease that has ended goes, as it would at the start of a router.
    const isOver = lease !== 0n && !leases.has(lease);
    return unit([isOver ? deleteOp(key) : putOp(key, kv.value, lease), deleteOp(meta.key)], compares);
  }

  async #write(at: bigint, ops: Parameters<EtcdClient['txn']>[0]['success'], compares: Unit['compares']): Promise<void> {
    const call = { compares: [isAtRevision(META_KEY, at), ...compares], success: ops, failure: [] };
    const { succeeded } = await this.client.txn(call);
    if (!succeeded) throw new CompareFailedError('a key was changed');
  }

  #tell(phase: EtcdProgress['phase'], done: number, total: number): void {
    this.options.onProgress?.({ phase, done, total });
  }
}

const NO_BYTES = Buffer.alloc(0);
/** Written for its revision alone. */
const RAISED_KEY = Buffer.concat([OWN_PREFIX, Buffer.from('raised')]);
const PROGRESS_STEP = 1000;

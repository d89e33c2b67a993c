import {
  contains,
  encodeEvent,
  encodeKeyValue,
  frameRecord,
  type Compare,
  type DeleteRangeRequest,
  type DeleteRangeResult,
  type KeyRange,
  type KeyspaceHash,
  type KeyValue,
  type LeaseGranted,
  type LeaseLife,
  type PutRequest,
  type PutResult,
  type RangeRequest,
  type RangeResult,
  type Revision,
  type Store,
  type StoreStatus,
  type TxnOp,
  type TxnOpResult,
  type TxnRequest,
  type TxnResult,
  type WatchRequest,
  type WatchSink,
  type WatchStream,
} from '@harikube/keyspace';

/** The simplest store that a wire can be tested on: the newest version of each key, no history. */
export class MemoryStore implements Store {
  revision = 1n;
  /** Set by a spec that wants an answer of its own. */
  rangeAnswer: ((request: RangeRequest) => Promise<RangeResult>) | null = null;
  txnAnswer: ((request: TxnRequest) => Promise<TxnResult>) | null = null;
  /** Set by a spec that wants writes to wait or to fail. */
  beforeWrite: () => Promise<void> = () => Promise.resolve();
  readonly streams = new Set<MemoryWatchStream>();
  readonly grants = new Map<bigint, bigint>();
  private readonly records = new Map<string, KeyValue>();

  status(): StoreStatus {
    return {
      revision: this.revision,
      compactRevision: 0n,
      sizeBytes: 8192,
      sizeInUseBytes: 4096,
      clusterId: 0xfedc_ba98_7654_3210n,
      memberId: 0x8000_0000_0000_0001n,
    };
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    if (this.rangeAnswer !== null) return this.rangeAnswer(request);
    const found = this.selected(request);
    const limited = request.limit > 0 ? found.slice(0, request.limit) : found;
    const kept = request.countOnly ? [] : limited;
    const blocks = kept.map((kv) => frameRecord(encodeKeyValue(request.keysOnly ? { ...kv, value: Buffer.alloc(0) } : kv)));
    return {
      revision: this.revision,
      count: found.length,
      more: limited.length < found.length,
      records: blocks.length,
      bytes: blocks.reduce((sum, block) => sum + block.length, 0),
      blocks,
    };
  }

  async put(request: PutRequest): Promise<PutResult & { readonly revision: Revision }> {
    await this.beforeWrite();
    const result = this.applyPut(request, this.revision + 1n);
    this.revision++;
    return { ...result, revision: this.revision };
  }

  async deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResult & { readonly revision: Revision }> {
    await this.beforeWrite();
    const result = this.applyDelete(request, this.revision + 1n);
    if (result.deleted > 0) this.revision++;
    return { ...result, revision: this.revision };
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    if (this.txnAnswer !== null) return this.txnAnswer(request);
    await this.beforeWrite();
    const succeeded = request.compares.every((compare) => this.holds(compare));
    const next = this.revision + 1n;
    const branch = succeeded ? request.success : request.failure;
    const responses = branch.map((operation) => this.apply(operation, next));
    if (responses.some((response) => response.type === 'put' || (response.type === 'delete' && response.deleted > 0))) this.revision = next;
    return { type: 'txn', revision: this.revision, succeeded, responses };
  }

  async compact(): Promise<Revision> {
    await this.beforeWrite();
    return this.revision;
  }

  watch(sink: WatchSink): WatchStream {
    const stream = new MemoryWatchStream(this, sink);
    this.streams.add(stream);
    return stream;
  }

  async grantLease(ttl: bigint, id: bigint): Promise<LeaseGranted> {
    const granted = id === 0n ? 0x7fff_ffff_0000_0000n + BigInt(this.grants.size) : id;
    this.grants.set(granted, ttl);
    return { id: granted, ttl, revision: this.revision };
  }

  async revokeLease(id: bigint): Promise<Revision> {
    this.grants.delete(id);
    return this.revision;
  }

  async keepAliveLease(id: bigint): Promise<bigint> {
    return this.grants.get(id) ?? 0n;
  }

  async leaseLife(id: bigint, withKeys: boolean): Promise<LeaseLife | null> {
    const ttl = this.grants.get(id);
    if (ttl === undefined) return null;
    const keys = [...this.records.values()].filter((kv) => kv.lease === id).map((kv) => kv.key);
    return { ttl: ttl - 1n, granted: ttl, keys: withKeys ? keys.sort((a, b) => Buffer.compare(a, b)) : [] };
  }

  leases(): readonly bigint[] {
    return [...this.grants.keys()];
  }

  async hash(revision: Revision): Promise<KeyspaceHash> {
    const hashRevision = revision === 0n ? this.revision : revision;
    return { hash: 0xfedc_ba98, hashRevision, compactRevision: -1n, revision: this.revision };
  }

  /** Of selections it knows the order of creation, and its bound. */
  private selected({ range, selection }: RangeRequest): KeyValue[] {
    const found = this.select(range);
    if (selection?.target !== 'create') return found;
    const { order, maxCreateRevision: most } = selection;
    const kept = found.filter((kv) => most === 0n || kv.createRevision <= most);
    const ascending = kept.sort((a, b) => Number(a.createRevision - b.createRevision));
    return order === 'descend' ? ascending.reverse() : ascending;
  }

  private select(range: KeyRange): KeyValue[] {
    return [...this.records.values()].filter((kv) => contains(range, kv.key)).sort((a, b) => Buffer.compare(a.key, b.key));
  }

  private apply(operation: TxnOp, revision: Revision): TxnOpResult {
    switch (operation.type) {
      case 'put':
        return this.applyPut(operation, revision);
      case 'delete':
        return this.applyDelete(operation, revision);
      case 'range': {
        const found = this.selected(operation);
        const kvs = (operation.limit > 0 ? found.slice(0, operation.limit) : found).map(encodeKeyValue);
        return { type: 'range', count: kvs.length, more: false, kvs };
      }
      case 'txn':
        throw new Error('the memory store has no nested txns');
    }
  }

  private applyPut(request: PutRequest, revision: Revision): PutResult {
    const name = request.key.toString('latin1');
    const previous = this.records.get(name);
    const kv: KeyValue = {
      key: request.key,
      value: request.value,
      lease: request.lease,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0n) + 1n,
    };
    this.records.set(name, kv);
    this.publish(kv, false, previous);
    return { type: 'put', prevKv: request.prevKv && previous !== undefined ? encodeKeyValue(previous) : null };
  }

  private applyDelete(request: DeleteRangeRequest, revision: Revision): DeleteRangeResult {
    const found = this.select(request.range);
    for (const kv of found) {
      this.records.delete(kv.key.toString('latin1'));
      const tombstone = { key: kv.key, value: Buffer.alloc(0), lease: 0n, createRevision: 0n, modRevision: revision, version: 0n };
      this.publish(tombstone, true, kv);
    }
    return { type: 'delete', deleted: found.length, prevKvs: request.prevKv ? found.map(encodeKeyValue) : [] };
  }

  private holds(compare: Compare): boolean {
    const kv = this.records.get(compare.range.start.toString('latin1'));
    if (compare.target === 'value') return kv !== undefined && kv.value.equals(compare.value) === (compare.result === 'equal');
    const actual = { version: kv?.version, create: kv?.createRevision, mod: kv?.modRevision, lease: kv?.lease }[compare.target] ?? 0n;
    return (actual === compare.number) === (compare.result === 'equal');
  }

  private publish(kv: KeyValue, isDelete: boolean, previous: KeyValue | undefined): void {
    for (const stream of this.streams) stream.publish(kv, isDelete, previous);
  }
}

export class MemoryWatchStream implements WatchStream {
  readonly watches = new Map<bigint, WatchRequest>();
  drains = 0;
  isClosed = false;
  private nextId = 0n;

  constructor(
    private readonly store: MemoryStore,
    readonly sink: WatchSink,
  ) {}

  create(request: WatchRequest): void {
    const watchId = request.watchId === 0n ? this.nextId++ : request.watchId;
    this.watches.set(watchId, request);
    this.sink.send({ type: 'created', watchId, revision: this.store.revision });
  }

  cancel(watchId: bigint): void {
    if (!this.watches.delete(watchId)) return;
    this.sink.send({ type: 'canceled', watchId, revision: this.store.revision, compactRevision: 0n, reason: '', refused: false });
  }

  requestProgress(): void {
    this.sink.send({ type: 'progress', watchId: -1n, revision: this.store.revision });
  }

  drained(): void {
    this.drains++;
  }

  close(): void {
    this.isClosed = true;
    this.store.streams.delete(this);
  }

  publish(kv: KeyValue, isDelete: boolean, previous: KeyValue | undefined): void {
    for (const [watchId, request] of this.watches) {
      if (!contains(request.range, kv.key) || (isDelete ? request.noDelete : request.noPut)) continue;
      const prevRecord = request.prevKv && previous !== undefined ? encodeKeyValue(previous) : null;
      const event = encodeEvent(isDelete, encodeKeyValue(kv), prevRecord);
      this.sink.send({ type: 'events', watchId, revision: kv.modRevision, events: [event] });
    }
  }
}

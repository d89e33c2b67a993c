import type { Clock } from './clock.js';
import type { Compaction } from './compaction.js';
import type { DefaultStore } from './default-store.js';
import { CompactedError, LeaseNotFoundError, UnavailableError } from './errors.js';
import type { PutRequest, PutResult, Revision, TxnRequest, TxnResult } from './model.js';
import type { RangeReader } from './range-reader.js';
import { readTxn } from './read-txn.js';
import type { Rerouter } from './rerouter.js';
import type { RoutingHistory } from './routing-history.js';
import { ready, readyOf } from './slot.js';
import { isReadOnly } from './txn-scope.js';
import { slotsOfTxn, soleSlotOf } from './txn-slots.js';
import { WideDeletions } from './wide-deletions.js';
import { within } from './within.js';
import type { WriteGate } from './write-gate.js';

export interface TxnRouterOptions {
  readonly clock: Clock;
  readonly history: RoutingHistory;
  readonly rerouter: Pick<Rerouter, 'gate'>;
  readonly store: DefaultStore;
  readonly compaction: Compaction;
  readonly reader: RangeReader;
  /** Whether a key may be attached to a lease. */
  readonly isLeaseAlive: (lease: bigint) => boolean;
  readonly requestTimeoutMs: number;
}

/** Sends each write to the one backend that can do it as one, and refuses it when there is none. */
export class TxnRouter {
  readonly #deletions: WideDeletions;

  constructor(private readonly options: TxnRouterOptions) {
    this.#deletions = new WideDeletions(options.requestTimeoutMs);
  }

  async txn(request: TxnRequest): Promise<TxnResult> {
    const { history, rerouter, store } = this.options;
    for (;;) {
      store.checkHeld();
      const gate = this.#gateOf((one) => one.holdsBack(request));
      if (gate !== undefined) {
        await this.#whenOpened(gate);
        continue;
      }
      const placement = history.present;
      const sole = soleSlotOf(placement, request);
      if (sole !== undefined) return ready(sole).committer.submit(request);
      const slots = readyOf(slotsOfTxn(placement, request));
      // A txn without a key is the default database's.
      const [first = ready(store.slot)] = slots;
      if (slots.length <= 1) return first.committer.submit(request);
      if (isReadOnly(request)) return this.#readTxn(request);
      const isOutdated = (): boolean => history.present !== placement || rerouter.gate?.holdsBack(request) === true;
      const result = await this.#deletions.delete(request, slots, isOutdated);
      if (result !== null) return result;
    }
  }

  async put(request: PutRequest): Promise<PutResult & { readonly revision: Revision }> {
    const { history, store, isLeaseAlive } = this.options;
    // Outside a txn etcd looks for the lease before it looks for the key.
    if ((request.ignoreValue || request.ignoreLease) && request.lease !== 0n && !isLeaseAlive(request.lease))
      throw new LeaseNotFoundError();
    for (;;) {
      const gate = this.#gateOf((one) => one.holdsBackKey(request.key));
      if (gate === undefined) break;
      await this.#whenOpened(gate);
    }
    store.checkHeld();
    const slot = ready(history.present.slotOf(request.key));
    const { revision, responses } = await slot.committer.submit({ type: 'txn', compares: [], success: [request], failure: [] });
    return { ...(responses[0] as PutResult), revision };
  }

  /** Over several backends: at what anybody was told of by now. */
  async #readTxn(request: TxnRequest): Promise<TxnResult> {
    const { clock, compaction, reader } = this.options;
    for (;;) {
      const compactRevision = compaction.revision;
      try {
        return await readTxn(request, clock.observed, compactRevision, (range) => reader.range(range));
      } catch (error) {
        // A compaction has passed the revision meanwhile.
        if (!(error instanceof CompactedError) || compaction.revision === compactRevision) throw error;
      }
    }
  }

  /** What holds a write back, if anything does: a change of the routing, or deletions that reach over several backends. */
  #gateOf(holdsBack: (gate: WriteGate) => boolean): WriteGate | undefined {
    const { gate } = this.options.rerouter;
    if (gate !== null && holdsBack(gate)) return gate;
    const { gates } = this.#deletions;
    if (gates.size > 0) for (const deletion of gates) if (holdsBack(deletion)) return deletion;
    return undefined;
  }

  #whenOpened(gate: WriteGate): Promise<void> {
    const { store, requestTimeoutMs } = this.options;
    const late = (): Error => new UnavailableError(store.slot.label, `${gate.reason} takes too long`);
    return within(requestTimeoutMs, gate.opened, late);
  }
}

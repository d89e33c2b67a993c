import { randomUUID } from 'node:crypto';
import type { TopologyManagerOptions } from '@harikube/datasources';
import { ConnectionForwarder, SocketListener } from '@harikube/etcd-api';
import { StoppedError, type WriterRecord, type WriterStatus } from '@harikube/keyspace';
import type { Logger } from '@harikube/platform';
import { advertisedAddress } from './advertised-address.js';
import { ListenError, listenUrl } from './listener.js';
import type { WriterReading } from './router-metrics.js';
import type { RouterConfig, WriterConfig } from './router.config.js';

/** Another router writes from now on. A supervisor starts this one again, as a standby. */
export const DEPOSED_EXIT_CODE = 3;

/** What opens the databases when this router's turn has come. */
export type WriterTurn = Required<TopologyManagerOptions['writer']>;

/**
 * A router on a database that others may use, too: a standby, which forwards what comes to its listener, until its turn has come, and then
 * the one that writes. It listens from its start on, and its listener stays the same.
 */
export class WriterRole {
  readonly listener: SocketListener;
  readonly #forwarder: ConnectionForwarder;
  readonly #stopping = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();
  /** Of this router, as the others are told. */
  #address = '';
  /** Who was waited for last. */
  #awaited: WriterRecord | null = null;
  #waitingSince = 0;
  #status: (() => WriterStatus) | null = null;
  #takeovers = 0;

  constructor(
    private readonly config: RouterConfig,
    private readonly writer: WriterConfig,
    private readonly logger: Logger,
  ) {
    this.listener = new SocketListener([listenUrl(config)], (err) => logger.warn('a connection could not be accepted', { err }));
    this.#forwarder = new ConnectionForwarder(() =>
      logger.error(
        'the active router advertises an address that leads to this one: nothing can be forwarded; give it an --advertise-address',
        {
          active: this.#awaited?.address,
        },
      ),
    );
  }

  /** Resolves when it listens; whoever connects waits until it is known who is active. */
  async listen(): Promise<void> {
    this.listener.handTo(this.#forwarder);
    try {
      await this.listener.open();
    } catch (error) {
      throw new ListenError(listenUrl(this.config), error);
    }
  }

  /**
   * Opens the databases, which waits for this router's turn. When the router is ended before, they are closed again and this rejects with
   * StoppedError.
   */
  async takeTurn<T>(open: (turn: WriterTurn) => Promise<T>, close: (opened: T) => Promise<void>): Promise<T> {
    const address = advertisedAddress(this.writer.advertiseAddress, this.listener.addresses);
    this.#address = address;
    const { signal } = this.#stopping;
    const identity = { holder: randomUUID(), address, leaseMs: this.writer.leaseMs };
    const turn = open({ identity, signal, onWaiting: (record) => this.#standBy(record) }).then(async (opened) => {
      if (!signal.aborted) return opened;
      // It was too late to turn back.
      await close(opened);
      throw new StoppedError();
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** It serves from here on. */
  serve(status: () => WriterStatus): void {
    this.#status = status;
    if (this.#awaited === null) return;
    this.#takeovers++;
    const { address, epoch } = this.#awaited;
    this.logger.info('took over', {
      from: address,
      fromEpoch: Number(epoch),
      epoch: Number(status().epoch),
      standbyMs: Math.round(performance.now() - this.#waitingSince),
    });
  }

  get reading(): WriterReading {
    const status = this.#status?.();
    return {
      isActive: status?.isHeld === true,
      epoch: status?.epoch ?? this.#awaited?.epoch ?? 0n,
      takeovers: this.#takeovers,
      forwarded: this.#forwarder.connections,
    };
  }

  /** For /readyz. Throws while neither this router nor one that it forwards to is known to be active. */
  check(): string {
    const status = this.#status?.();
    if (status?.isHeld === true) return `active, epoch ${status.epoch}`;
    if (status !== undefined) throw new Error(status.problem);
    if (this.#awaited === null) throw new Error('starting, it is not known yet who is active');
    if (this.#isOwn(this.#awaited)) throw new Error(`waiting for the lease of the router that was at ${this.#address} before`);
    return `standby, active is ${nameOf(this.#awaited)}`;
  }

  get isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Waits for its turn no more, and ends what was forwarded. What came of the turn otherwise is for others to end. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const closed = this.listener.close();
    this.#forwarder.close();
    await this.#turn;
    await closed;
  }

  #standBy(record: WriterRecord): void {
    this.#awaited = record;
    this.#waitingSince = performance.now();
    const { address, epoch, leaseMs } = record;
    const isOwn = this.#isOwn(record);
    this.#forwarder.forwardTo(isOwn ? '' : address);
    const message = isOwn
      ? `standby: the router that was at ${address} before this one (epoch ${epoch}) has not given its lease back`
      : `standby: the router at ${nameOf(record)} (epoch ${epoch}) is active`;
    this.logger.info(message, { leaseMs });
  }

  /** It was at the address that this one has: whoever connects there now comes here. */
  #isOwn({ address }: WriterRecord): boolean {
    return address !== '' && address === this.#address;
  }
}

function nameOf({ address }: WriterRecord): string {
  return address === '' ? 'an address that it does not tell' : address;
}

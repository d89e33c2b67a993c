import { connect, type Socket } from 'node:net';
import { type ListenAddress, parseListenAddress } from './listen-address.js';
import type { SocketTaker } from './socket-listener.js';

/**
 * What a standby does with connections: their bytes go to the active server and back as they are, so that TLS begins at the client and ends
 * there. A connection that cannot be forwarded at the moment is held open, with nothing taken from it: grpc-go counts a connection as made
 * only when the server's first SETTINGS frame has come, and waits 20 s for it. Calls of a client whose other addresses are up go to those
 * meanwhile; calls of one that has no other wait, and go on at the take-over. To refuse it instead would fail those calls, and grpc-go would
 * come back after a pause that grows from 1 s to 2 minutes.
 */

export interface ForwarderLimits {
  /** Connections at a time; what comes beyond is refused. Each takes two file descriptors. */
  readonly maxConnections: number;
  /** How long a connection may be held: less than the 20 s after which grpc-go gives up by itself. */
  readonly holdMs: number;
  /** How long to wait for the active server to accept a connection. */
  readonly dialMs: number;
  /** Pause before the active server is tried again for a connection that is held. */
  readonly retryMs: number;
  /** How long one side may stay open after the other has gone. */
  readonly lingerMs: number;
}

const DEFAULT_FORWARDER_LIMITS: ForwarderLimits = {
  maxConnections: 10_000,
  holdMs: 15_000,
  dialMs: 2000,
  retryMs: 250,
  lingerMs: 1000,
};

interface Target {
  readonly host: string;
  readonly port: number;
}

export class ConnectionForwarder implements SocketTaker {
  readonly #limits: ForwarderLimits;
  readonly #passages = new Set<Passage>();
  /** Connections to the active server by both ends: one that is accepted here has come in a circle. */
  readonly #dialed = new Set<string>();
  readonly #accepted = new Map<string, Passage>();
  #target: Target | null = null;

  constructor(
    /** The address of the active server leads back here; nothing is forwarded to it any more. */
    private readonly onCircle: () => void,
    limits: Partial<ForwarderLimits> = {},
  ) {
    this.#limits = { ...DEFAULT_FORWARDER_LIMITS, ...limits };
  }

  /** Connections whose bytes are being forwarded. */
  get connections(): number {
    let count = 0;
    for (const { isOpen } of this.#passages) if (isOpen) count++;
    return count;
  }

  /** `HOST:PORT` of the server that is active from here on, empty: nobody knows. What was forwarded to another one is ended. */
  forwardTo(address: string): void {
    const target = targetOf(address);
    if (target?.host === this.#target?.host && target?.port === this.#target?.port) return;
    this.#target = target;
    for (const passage of [...this.#passages]) {
      if (passage.isOpen) passage.end();
      else passage.dial();
    }
  }

  take(socket: Socket, address: ListenAddress): void {
    const far = endOf(socket.remoteAddress, socket.remotePort);
    const ends = `${far} ${endOf(socket.localAddress, socket.localPort)}`;
    if (this.#dialed.has(ends)) this.#leadsBack();
    if (this.#passages.size >= this.#limits.maxConnections || this.#dialed.has(ends)) {
      socket.destroy();
      return;
    }
    const passage = new Passage(socket, address, {
      limits: this.#limits,
      target: () => this.#target,
      dialed: (upstream) => this.#isOurOwn(upstream),
      gone: () => {
        this.#passages.delete(passage);
        this.#accepted.delete(ends);
      },
    });
    this.#passages.add(passage);
    // Clients of a socket file have no address, and never come in a circle.
    if (far !== '') this.#accepted.set(ends, passage);
    passage.dial();
  }

  /** Connections that are held go on with `next` as if nothing had been; forwarded ones are ended, so that their clients connect again. */
  yieldTo(next: SocketTaker): void {
    this.#target = null;
    const held: Passage[] = [];
    // What a server says that is not active any more must not reach anybody: those come first.
    for (const passage of [...this.#passages]) {
      if (passage.isOpen) passage.end();
      else held.push(passage);
    }
    for (const passage of held) {
      const { client, address } = passage;
      passage.leave();
      if (!client.destroyed) next.take(client, address);
    }
  }

  /** Cuts every connection. */
  close(): void {
    this.#target = null;
    for (const { client } of [...this.#passages]) client.destroy();
  }

  /** A connection to the active server has been accepted by ourselves. */
  #isOurOwn(upstream: Socket): boolean {
    // Both ends: a client on this machine may be given the same port for its way to here.
    const ends = `${endOf(upstream.localAddress, upstream.localPort)} ${endOf(upstream.remoteAddress, upstream.remotePort)}`;
    const circle = this.#accepted.get(ends);
    if (circle !== undefined) {
      this.#leadsBack();
      circle.client.destroy();
      return true;
    }
    this.#dialed.add(ends);
    upstream.once('close', () => this.#dialed.delete(ends));
    return false;
  }

  #leadsBack(): void {
    if (this.#target === null) return;
    this.#target = null;
    this.onCircle();
  }
}

interface PassageEnvironment {
  readonly limits: ForwarderLimits;
  readonly target: () => Target | null;
  /** Is asked about each connection that was made; true: it must not be used. */
  readonly dialed: (upstream: Socket) => boolean;
  readonly gone: () => void;
}

/** One client's connection: held until it is forwarded. */
class Passage {
  /** Bytes go both ways. */
  isOpen = false;
  #upstream: Socket | null = null;
  #retry: NodeJS.Timeout | undefined;
  readonly #patience: NodeJS.Timeout;
  readonly #onGone = (): void => this.#clientGone();

  constructor(
    readonly client: Socket,
    readonly address: ListenAddress,
    private readonly environment: PassageEnvironment,
  ) {
    client.on('error', ignore);
    client.once('close', this.#onGone);
    this.#patience = setTimeout(() => client.destroy(), environment.limits.holdMs);
  }

  /** Tries to forward it to the target of the moment; without one it stays held. */
  dial(): void {
    const { environment } = this;
    clearTimeout(this.#retry);
    this.#dropUpstream();
    const target = environment.target();
    if (target === null || this.client.destroyed) return;
    const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
    this.#upstream = upstream;
    upstream.setTimeout(environment.limits.dialMs, () => upstream.destroy());
    upstream.on('error', ignore);
    upstream.once('connect', () => {
      if (environment.dialed(upstream)) upstream.destroy();
      else this.#open(upstream);
    });
    upstream.once('close', () => {
      if (this.#upstream !== upstream) return;
      if (this.isOpen) this.#upstreamGone(upstream);
      else this.#retry = setTimeout(() => this.dial(), environment.limits.retryMs);
    });
  }

  /** Ends it behind what the client was sent already. */
  end(): void {
    this.#dropUpstream();
    this.client.unpipe();
    // Unread bytes would make the system drop what is still on its way to the client.
    this.client.resume();
    this.client.end();
    destroyLater(this.client, this.environment.limits.lingerMs);
  }

  /** Lets go of the client's socket, which is as it was when it came. */
  leave(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#patience);
    this.#dropUpstream();
    this.client.off('error', ignore);
    this.client.off('close', this.#onGone);
    this.environment.gone();
  }

  #open(upstream: Socket): void {
    clearTimeout(this.#patience);
    upstream.setTimeout(0);
    this.isOpen = true;
    this.client.allowHalfOpen = true;
    this.client.pipe(upstream);
    upstream.pipe(this.client);
  }

  #upstreamGone(upstream: Socket): void {
    if (upstream.readableEnded) destroyLater(this.client, this.environment.limits.lingerMs);
    // What is cut short must not look as if it were whole.
    else if (this.address.kind === 'tcp') this.client.resetAndDestroy();
    else this.client.destroy();
  }

  #clientGone(): void {
    const upstream = this.#upstream;
    this.environment.gone();
    clearTimeout(this.#retry);
    clearTimeout(this.#patience);
    if (!this.isOpen || upstream === null) this.#dropUpstream();
    else if (this.client.readableEnded) destroyLater(upstream, this.environment.limits.lingerMs);
    else upstream.resetAndDestroy();
  }

  #dropUpstream(): void {
    const upstream = this.#upstream;
    this.#upstream = null;
    upstream?.unpipe();
    upstream?.destroy();
  }
}

/** Its end says what there is to know. */
function ignore(): void {}

function destroyLater(socket: Socket, ms: number): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), ms);
  socket.once('close', () => clearTimeout(timer));
}

function targetOf(text: string): Target | null {
  if (text === '') return null;
  const address = parseListenAddress(text);
  return address.kind === 'tcp' ? { host: address.host, port: address.port } : null;
}

/** One end of a connection, IPv4 as it is written without IPv6; empty when it has none. */
function endOf(address: string | undefined, port: number | undefined): string {
  return address === undefined || port === undefined ? '' : `${address.replace(/^::ffff:/, '')} ${port}`;
}

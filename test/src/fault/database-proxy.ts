import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { CommitWire, Piece } from './commit-wire.js';

/** Where a connection is when a commit is disturbed. */
export const COMMIT_STEPS = [
  'before BEGIN',
  'after the meta row is taken',
  'inside the rows',
  'before COMMIT is sent',
  'when COMMIT is sent',
  'before COMMIT is answered',
  'after COMMIT is answered',
] as const;

export type CommitStep = (typeof COMMIT_STEPS)[number];

export type Disturbance =
  /** The connection breaks on both sides. */
  | 'cut'
  /** Nothing passes any more, and nobody is told. */
  | 'vanish'
  /** The router gives up, and what it had sent arrives later. */
  | 'late';

export interface CommitTrap {
  readonly step: CommitStep;
  readonly disturbance: Disturbance;
}

/** How long after the router closed the connection a late commit reaches the database, and when it does if the router never closes it. */
const LATENESS_MS = 700;
const LATEST_MS = 8000;

interface Sprung {
  readonly trap: CommitTrap;
  readonly resolve: () => void;
}

/** What was let through is dealt with by the database before the connection breaks. */
const BEFORE_CUT_MS = 25;

/** Stands between a router and its database, and breaks what they have to each other: at a step of a commit, or as a whole. */
export class DatabaseProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #trap: Sprung | null = null;
  #isRefusing = false;
  #isVanishing = false;
  #isFrozen = false;
  #loginError: ((hello: Buffer) => Buffer) | null = null;
  #delayMs: (() => number) | null = null;

  private constructor(
    private readonly targetPort: number,
    private readonly wire: () => CommitWire,
  ) {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(targetPort: number, wire: () => CommitWire): Promise<DatabaseProxy> {
    const proxy = new DatabaseProxy(targetPort, wire);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Disturbs the next commit at a step; resolves when that has happened. */
  disturb(trap: CommitTrap): Promise<void> {
    return new Promise((resolve) => (this.#trap = { trap, resolve }));
  }

  /** Takes back a trap that nothing ran into. */
  disarm(): void {
    this.#trap?.resolve();
    this.#trap = null;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const pair of [...this.#pairs]) pair.cut();
  }

  /** Breaks every connection, and each that is made until `admit`. */
  refuse(): void {
    this.#isRefusing = true;
    this.cut();
  }

  /** Breaks every connection, and answers each new one with an error in place of a login, until `admit`. */
  refuseLogins(error: (hello: Buffer) => Buffer): void {
    this.#loginError = error;
    this.cut();
  }

  admit(): void {
    this.#isRefusing = false;
    this.#loginError = null;
  }

  /** Nothing passes from now on: on the connections that are there for good, on others until `appear`. Nobody is told of the end of any. */
  vanish(): void {
    this.#isVanishing = true;
    for (const pair of this.#pairs) pair.vanish();
  }

  appear(): void {
    this.#isVanishing = false;
  }

  /** Keeps everything back until `thaw`. */
  freeze(): void {
    this.#isFrozen = true;
    for (const pair of this.#pairs) pair.freeze();
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const pair of this.#pairs) pair.thaw();
  }

  /** Each chunk takes so long; null: none does. */
  delay(delayMs: (() => number) | null): void {
    this.#delayMs = delayMs;
  }

  /** Lets go of what vanished: the database learns that these connections are gone. */
  forget(): void {
    for (const pair of [...this.#pairs]) if (pair.hasVanished) pair.cut();
  }

  async close(): Promise<void> {
    this.disarm();
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(router: Socket): void {
    router.on('error', () => undefined);
    if (this.#isRefusing) {
      router.resetAndDestroy();
      return;
    }
    const error = this.#loginError;
    if (error !== null) {
      const refuse = (hello: Buffer): void => void router.end(error(hello));
      // A MySQL server speaks first.
      const unasked = error(Buffer.alloc(0));
      if (unasked.length > 0) router.end(unasked);
      else router.once('data', refuse);
      return;
    }
    const pair = new Pair(router, connect(this.targetPort, '127.0.0.1'), this.wire(), {
      delayMs: () => this.#delayMs?.() ?? 0,
      trapFor: (piece) => this.#trapFor(piece),
      onClosed: () => this.#pairs.delete(pair),
    });
    this.#pairs.add(pair);
    if (this.#isVanishing) pair.vanish();
    if (this.#isFrozen) pair.freeze();
  }

  /** The trap, when this piece runs into it: one connection only. */
  #trapFor(piece: Piece): Sprung | null {
    const sprung = this.#trap;
    if (sprung === null || !piece.marks.has(TRIGGERS[sprung.trap.step])) return null;
    this.#trap = null;
    return sprung;
  }
}

const TRIGGERS = {
  'before BEGIN': 'begin',
  'after the meta row is taken': 'meta',
  'inside the rows': 'rows',
  'before COMMIT is sent': 'commit',
  'when COMMIT is sent': 'commit',
  'before COMMIT is answered': 'answer',
  'after COMMIT is answered': 'answer',
} as const;

interface PairOptions {
  readonly delayMs: () => number;
  readonly trapFor: (piece: Piece) => Sprung | null;
  readonly onClosed: () => void;
}

/** One connection of the router with the one to the database behind it. */
class Pair {
  hasVanished = false;
  #isFrozen = false;
  /** What the router sends from here on does not reach the database. */
  #isBlocked = false;
  #isOver = false;
  readonly #kept: (() => void)[] = [];
  #queue: Promise<void> | null = null;
  #queued = 0;
  #late: Buffer[] | null = null;

  constructor(
    private readonly router: Socket,
    private readonly database: Socket,
    private readonly wire: CommitWire,
    private readonly options: PairOptions,
  ) {
    router.setNoDelay(true);
    database.setNoDelay(true);
    router.on('data', (chunk: Buffer) => this.#pass(() => this.#fromRouter(chunk)));
    database.on('data', (chunk: Buffer) => this.#pass(() => this.#fromDatabase(chunk)));
    database.on('error', () => undefined);
    router.on('close', () => this.#ended(database));
    database.on('close', () => this.#ended(router));
  }

  cut(): void {
    this.#isOver = true;
    this.router.resetAndDestroy();
    this.database.resetAndDestroy();
    this.options.onClosed();
  }

  vanish(): void {
    this.hasVanished = true;
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const act of this.#kept.splice(0)) act();
  }

  #ended(other: Socket): void {
    if (this.#isOver || (this.hasVanished && !(this.router.destroyed && this.database.destroyed))) return;
    if (this.#late !== null) return;
    this.#pass(() => {
      other.destroy();
      this.options.onClosed();
    });
  }

  /** Acts at once, or in its turn when something is kept back or delayed. */
  #pass(act: () => void): void {
    if (this.#isFrozen) {
      this.#kept.push(act);
      return;
    }
    const ms = this.options.delayMs();
    if (ms === 0 && this.#queue === null) {
      act();
      return;
    }
    this.#queued++;
    this.#queue = (this.#queue ?? Promise.resolve())
      .then(() => new Promise<void>((resolve) => setTimeout(resolve, ms)))
      .then(() => {
        act();
        if (--this.#queued === 0) this.#queue = null;
      });
  }

  #fromRouter(chunk: Buffer): void {
    for (const piece of this.wire.fromRouter(chunk)) {
      const sprung = this.#isBlocked ? null : this.options.trapFor(piece);
      if (sprung !== null) this.#spring(sprung, piece);
      else if (this.#late !== null) this.#late.push(piece.bytes);
      else if (!this.#isBlocked) this.#toDatabase(piece.bytes);
    }
  }

  #fromDatabase(chunk: Buffer): void {
    for (const piece of this.wire.fromDatabase(chunk)) {
      const sprung = this.options.trapFor(piece);
      if (sprung !== null && sprung.trap.step === 'before COMMIT is answered') {
        this.#break(sprung);
        return;
      }
      this.#toRouter(piece.bytes);
      if (sprung !== null) {
        // The whole answer goes out, and the end behind it.
        setTimeout(() => this.#break(sprung), 1);
      }
    }
  }

  #spring(sprung: Sprung, { bytes, marks }: Piece): void {
    const { step, disturbance } = sprung.trap;
    const isWhole = marks.has('rows') && marks.has('commit');
    if (disturbance === 'late') {
      this.#keepLate(sprung, bytes);
      return;
    }
    this.#isBlocked = true;
    if (step === 'after the meta row is taken' && !isWhole) this.#toDatabase(bytes);
    else if (step === 'inside the rows' || (isWhole && step !== 'before BEGIN' && step !== 'when COMMIT is sent')) {
      this.#toDatabase(bytes.subarray(0, Math.ceil(bytes.length / 2)));
    } else if (step === 'when COMMIT is sent') {
      this.#isBlocked = false;
      this.#toDatabase(bytes);
      // What follows in the same chunk still goes out: a message may need another one to be carried out.
      setImmediate(() => this.#break(sprung));
      return;
    }
    setTimeout(() => this.#break(sprung), BEFORE_CUT_MS);
  }

  /** The message arrives when the router has long given it up; at the latest after a time in which it surely did. */
  #keepLate(sprung: Sprung, bytes: Buffer): void {
    const late = [bytes];
    this.#late = late;
    const deliver = (): void => {
      clearTimeout(timer);
      for (const part of late.splice(0)) this.#toDatabase(part);
      sprung.resolve();
      setTimeout(() => this.cut(), BEFORE_CUT_MS);
    };
    let timer = setTimeout(deliver, LATEST_MS);
    this.router.once('close', () => {
      clearTimeout(timer);
      timer = setTimeout(deliver, LATENESS_MS);
    });
  }

  #break({ trap, resolve }: Sprung): void {
    if (trap.disturbance === 'cut') this.cut();
    else this.vanish();
    resolve();
  }

  #toDatabase(bytes: Buffer): void {
    if (!this.hasVanished && !this.database.destroyed) this.database.write(bytes);
  }

  #toRouter(bytes: Buffer): void {
    if (!this.hasVanished && !this.router.destroyed) this.router.write(bytes);
  }
}

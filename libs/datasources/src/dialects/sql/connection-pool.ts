import { performance } from 'node:perf_hooks';
import type { ConnectionPool as PoolSettings } from '../../topology/topology.js';
import type { SqlConnection } from './sql-connection.js';

/** Connections of one database in all, where its rule does not say: the writer's, that of the lease, and the readers'. */
const DEFAULT_MAX_OPEN = 10;
const DEFAULT_MAX_IDLE = 4;
/** Beside those that read. */
const OTHER_CONNECTIONS = 2;
const SWEEP_MS = 1000;

interface Member {
  readonly connection: SqlConnection;
  readonly openedAt: number;
  readonly generation: number;
  idleSince: number;
}

interface Waiter {
  readonly resolve: (connection: SqlConnection) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The sessions that read from one database: as many as its rule allows, and no more. */
export class ConnectionPool {
  readonly #members = new Map<SqlConnection, Member>();
  /** The one that was given back last is at the end. */
  readonly #idle: Member[] = [];
  readonly #waiters: Waiter[] = [];
  #opening = 0;
  #generation = 0;
  #isClosed = false;
  #sweeper: NodeJS.Timeout | null = null;

  constructor(
    private readonly open: () => Promise<SqlConnection>,
    private settings: PoolSettings,
    private patienceMs: number,
  ) {}

  /** Most sessions at a time. */
  get size(): number {
    return Math.max(1, (this.settings.maxOpen || DEFAULT_MAX_OPEN) - OTHER_CONNECTIONS);
  }

  /** Sessions that are open were made by other settings: each is closed once it is free. */
  configure(settings: PoolSettings, patienceMs: number): void {
    this.settings = settings;
    this.patienceMs = patienceMs;
    this.#generation++;
    this.#sweep();
  }

  async use<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    const connection = await this.acquire();
    try {
      return await work(connection);
    } finally {
      this.release(connection);
    }
  }

  /** A session of the caller's own until `release`. Rejects when none is free in time. */
  acquire(): Promise<SqlConnection> {
    if (this.#isClosed) return Promise.reject(new Error('the database is closed'));
    const free = this.#takeIdle();
    if (free !== undefined) return Promise.resolve(free.connection);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(
          new Error(`none of ${this.size} connections that read is free after ${this.patienceMs} ms; connectionPool.maxOpen allows more`),
        );
      }, this.patienceMs);
      const waiter = { resolve, reject, timer };
      this.#waiters.push(waiter);
      this.#grow();
    });
  }

  release(connection: SqlConnection): void {
    const member = this.#members.get(connection);
    if (member === undefined) return;
    if (!this.#isFit(member)) {
      this.#drop(member);
      if (!connection.isUsable) this.#dropIdle();
      this.#grow();
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      clearTimeout(waiter.timer);
      waiter.resolve(connection);
      return;
    }
    member.idleSince = performance.now();
    this.#idle.push(member);
    this.#sweepLater();
    if (this.#idle.length > Math.min(this.size, this.settings.maxIdle || DEFAULT_MAX_IDLE)) this.#drop(this.#idle.shift() as Member);
  }

  /** What is under way is cut. */
  close(): void {
    this.#isClosed = true;
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    for (const { reject, timer } of this.#waiters.splice(0)) {
      clearTimeout(timer);
      reject(new Error('the database is closed'));
    }
    for (const member of this.#members.values()) this.#drop(member);
    this.#idle.length = 0;
  }

  #takeIdle(): Member | undefined {
    for (;;) {
      const member = this.#idle.pop();
      if (member === undefined || this.#isFit(member)) return member;
      this.#drop(member);
    }
  }

  #isFit({ connection, openedAt, generation }: Member): boolean {
    const { maxLifeTimeMs = 0 } = this.settings;
    const isYoung = maxLifeTimeMs === 0 || performance.now() - openedAt < maxLifeTimeMs;
    return !this.#isClosed && connection.isUsable && generation === this.#generation && isYoung;
  }

  /** Opens sessions for those who wait, while there may be more. */
  #grow(): void {
    while (this.#opening < this.#waiters.length && this.#members.size + this.#opening < this.size) {
      this.#opening++;
      const generation = this.#generation;
      this.open().then(
        (connection) => {
          this.#opening--;
          const member = { connection, openedAt: performance.now(), generation, idleSince: 0 };
          this.#members.set(connection, member);
          this.release(connection);
        },
        (error: unknown) => {
          this.#opening--;
          const waiter = this.#waiters.shift();
          if (waiter === undefined) return;
          clearTimeout(waiter.timer);
          waiter.reject(error as Error);
        },
      );
    }
  }

  #drop(member: Member): void {
    this.#members.delete(member.connection);
    member.connection.destroy();
  }

  /** What one session was lost by, the free ones may have met too: each would cost somebody a timeout to find out, a new one costs milliseconds. */
  #dropIdle(): void {
    for (const member of this.#idle.splice(0)) this.#drop(member);
  }

  #sweepLater(): void {
    if (this.#sweeper !== null) return;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  #sweep(): void {
    const { maxIdleLifeTimeMs = 0 } = this.settings;
    const now = performance.now();
    for (const member of this.#idle.splice(0)) {
      const isStale = maxIdleLifeTimeMs > 0 && now - member.idleSince >= maxIdleLifeTimeMs;
      if (isStale || !this.#isFit(member)) this.#drop(member);
      else this.#idle.push(member);
    }
    if (this.#idle.length > 0 || this.#sweeper === null) return;
    clearInterval(this.#sweeper);
    this.#sweeper = null;
  }
}

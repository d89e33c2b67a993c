import type { Outcome, RecordedCall, Request } from '../consistency/history.js';
import { RecordingClient } from '../consistency/recording-client.js';

/** The number of this client among those of a workload. */
const CLIENT = 999;
/** How often something that is waited for is asked again. */
const ASK_AGAIN_MS = 50;
const SECOND_MS = 1000;
const LEASE_NOT_FOUND = 'etcdserver: requested lease not found';

export interface ProbeOptions {
  /** http://HOST:PORT of the router; asked for each connection. */
  readonly address: () => string;
  /** Another one than that of any other client of the same data. */
  readonly seed: number;
  readonly answerWithinMs: number;
}

export interface GrantedLease {
  readonly id: bigint;
  /** A time of `performance.now()` at which it did not live yet. */
  readonly since: number;
  readonly seconds: number;
}

/** A client that looks what becomes of one key or one lease. */
export class Probe {
  readonly calls: RecordedCall[] = [];
  readonly #client: RecordingClient;
  #names = 0;

  constructor(private readonly options: ProbeOptions) {
    const { address, answerWithinMs } = options;
    this.#client = new RecordingClient({ address, id: CLIENT, answerWithinMs, onCall: (call) => this.calls.push(call) });
  }

  close(): void {
    this.#client.close();
  }

  /** A key that nobody has used, below the prefix. */
  key(prefix: string): string {
    return `${prefix}probe-${++this.#names}`;
  }

  put(key: string, { lease = 0n, bytes = 0 }: { readonly lease?: bigint; readonly bytes?: number } = {}): Promise<Outcome> {
    const value = `${this.options.seed}.${CLIENT}-${++this.#names}-${'x'.repeat(bytes)}`;
    return this.#call({ type: 'put', key, value, lease, prevKv: false });
  }

  /** Puts a key again and again until that is acknowledged, or refused: what is waited for. */
  async putUntil(key: string, due: 'done' | 'refused', bytes = 0): Promise<void> {
    while ((await this.put(key, { bytes })).type !== due) await pause(ASK_AGAIN_MS);
  }

  /** A lease of so many seconds that has the key. One that has ended before its key was there, on a slow machine, is replaced. */
  async grant(key: string, ttl: bigint): Promise<GrantedLease> {
    for (;;) {
      const id = BigInt(this.options.seed) * 1_000_000n + 900_000n + BigInt(++this.#names);
      const since = performance.now();
      const granted = await this.#call({ type: 'grant', lease: id, ttl });
      if (granted.type !== 'done') throw new Error(`no lease is granted: ${granted.text}`);
      const attached = await this.put(key, { lease: id });
      if (attached.type === 'done') return { id, since, seconds: Number(ttl) };
      if (attached.text !== LEASE_NOT_FOUND) throw new Error(`${key} is not put: ${attached.text}`);
    }
  }

  /** The seconds that a lease lives once more; 0: it has ended. */
  async keepAlive({ id }: GrantedLease): Promise<bigint> {
    const outcome = await this.#call({ type: 'keep-alive', lease: id });
    if (outcome.type === 'done' && outcome.result.type === 'keep-alive') return outcome.result.ttl;
    throw new Error(`lease ${id} cannot be kept alive: ${show(outcome)}`);
  }

  async has(key: string): Promise<boolean> {
    const outcome = await this.#call({ type: 'range', key, end: '', revision: 0n, limit: 0, keysOnly: false, countOnly: false });
    if (outcome.type === 'done' && outcome.result.type === 'range') return outcome.result.kvs.length > 0;
    throw new Error(`${key} cannot be read: ${show(outcome)}`);
  }

  /** Waits until a lease has taken its key along; whether that came no earlier than it had to. */
  async livesOut(key: string, { since, seconds }: GrantedLease): Promise<boolean> {
    while (await this.has(key)) await pause(ASK_AGAIN_MS);
    return performance.now() >= since + seconds * SECOND_MS;
  }

  async #call(request: Request): Promise<Outcome> {
    const outcome = await this.#client.call(request);
    if (outcome === null) throw new Error('the probe is closed');
    return outcome;
  }
}

function show(outcome: Outcome): string {
  return outcome.type === 'done' ? 'done' : outcome.text;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

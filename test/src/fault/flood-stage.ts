import { ROUTER_ENV, ROUTER_NODE_FLAGS } from '@harikube/cli/router-memory';
import { EtcdClient } from '@harikube/testing';
import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median } from '../bench/median.js';
import { cpuMicroseconds, memoryUsage } from '../bench/process-usage.js';
import { encodeMessage } from '../differential/etcd-messages.js';
import { GrpcSession } from '../differential/grpc-session.js';
import { BIG_PREFIX, BIG_VALUE_BYTES, BIG_VALUES, BUSY_PREFIX, FLOOD_CASES, type FloodCase, type FloodCaseName } from './flood-cases.js';
import type { FloodOutcome } from './flood-client.js';
import { RouterProcess } from './router-process.js';

/** One case: medians of its rounds, but for what must never be. */
export interface FloodMeasurement {
  readonly name: FloodCaseName;
  readonly without: FloodHalf;
  readonly with: FloodHalf;
  /** By how many MB the router's peak was higher with the flood than without, at most. */
  readonly growthMegabytes: number;
  /** Resident memory of the router in MB when everything is over. */
  readonly afterMegabytes: number;
  /** Calls of the well-behaved client that were not answered well. */
  readonly failures: readonly string[];
  /** Of the last round. */
  readonly outcome: FloodOutcome;
  /** Lines that the router logged during the floods. */
  readonly lines: number;
}

/** So many seconds of the well-behaved client, alone or beside a flood. */
export interface FloodHalf {
  /** Latencies of its calls in ms. */
  readonly p50: number;
  readonly p99: number;
  /** The most that the router ever held, in MB. */
  readonly peakMegabytes: number;
  /** Processors that the router kept busy, its event loop's thread alone and all of its threads. */
  readonly eventLoop: number;
  readonly router: number;
}

export interface FloodOptions {
  /** Of each half: without the flood, and with it. */
  readonly seconds: number;
  /** How often the two are measured, one after the other. */
  readonly rounds: number;
  /** How long the router is left alone after each flood. */
  readonly restSeconds: number;
}

/** A router, and a client that behaves well. */
export class FloodStage {
  private constructor(
    private readonly folder: string,
    private readonly router: RouterProcess,
    private readonly client: BusyClient,
  ) {}

  /** The router has the memory that its launcher gives it. */
  static async start(): Promise<FloodStage> {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-flood-'));
    const router = await RouterProcess.start({ database: join(folder, 'main.db'), nodeFlags: ROUTER_NODE_FLAGS, env: ROUTER_ENV });
    await warmUp(router.address);
    return new FloodStage(folder, router, new BusyClient(router.address));
  }

  /** The well-behaved client alone and beside a flood, in turns: what else the machine does comes and goes. */
  async measure(name: FloodCaseName, { seconds, rounds, restSeconds }: FloodOptions): Promise<FloodMeasurement> {
    const { router, client } = this;
    const halves: { readonly without: FloodHalf; readonly with: FloodHalf }[] = [];
    let outcome: FloodOutcome = { connections: 0, ended: {}, resets: {} };
    let lines = 0;
    for (let round = 0; round < rounds; round++) {
      const without = await this.#half(seconds);
      const linesBefore = router.lines.length;
      const attack = flood(name, router.address, seconds);
      const beside = await this.#half(seconds);
      outcome = await attack;
      lines += router.lines.length - linesBefore;
      halves.push({ without, with: beside });
      await client.measure(restSeconds);
    }
    const { residentMegabytes } = await memoryUsage(router.pid);
    return {
      name,
      without: medianHalf(halves.map((round) => round.without)),
      with: medianHalf(halves.map((round) => round.with)),
      growthMegabytes: Math.max(...halves.map((round) => round.with.peakMegabytes - round.without.peakMegabytes)),
      afterMegabytes: residentMegabytes,
      failures: client.failures.splice(0),
      outcome,
      lines,
    };
  }

  /** The exit code of the router, asked to end. */
  async stop(): Promise<number | null> {
    this.client.close();
    const exitCode = await this.router.stop();
    await rm(this.folder, { recursive: true });
    return exitCode;
  }

  async #half(seconds: number): Promise<FloodHalf> {
    const { pid } = this.router;
    await writeFile(`/proc/${pid}/clear_refs`, '5'); // the peak counts from here on
    const startedAt = performance.now();
    const before = [await threadMicroseconds(pid), await cpuMicroseconds(pid)] as const;
    const { p50, p99 } = await this.client.measure(seconds);
    const after = [await threadMicroseconds(pid), await cpuMicroseconds(pid)] as const;
    const microseconds = (performance.now() - startedAt) * 1000;
    const { peakMegabytes } = await memoryUsage(pid);
    const [eventLoop, router] = [(after[0] - before[0]) / microseconds, (after[1] - before[1]) / microseconds];
    return { p50, p99, peakMegabytes, eventLoop, router };
  }
}

function medianHalf(halves: readonly FloodHalf[]): FloodHalf {
  const of = (field: keyof FloodHalf): number => median(halves.map((half) => half[field]));
  return { p50: of('p50'), p99: of('p99'), peakMegabytes: of('peakMegabytes'), eventLoop: of('eventLoop'), router: of('router') };
}

/** CPU time of a process's first thread, in microseconds. Linux only. */
async function threadMicroseconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/schedstat`, 'utf8');
  return Number(text.split(' ')[0]) / 1000;
}

/** In a process of its own, so that neither the one who measures nor the router is held up by what it does. */
async function flood(name: FloodCaseName, url: string, seconds: number): Promise<FloodOutcome> {
  const program = fileURLToPath(new URL('./flood-attacker-program.js', import.meta.url));
  const child = fork(program, [name, url, String(seconds)]);
  return new Promise((resolve, reject) => {
    child.once('message', (outcome) => resolve(outcome as FloodOutcome));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`who floods ended with ${code} and told nothing`)));
  });
}

/** What a router holds that has served for a while is no part of what a flood makes it hold: lists of all sizes, and calls one beside the other. */
async function warmUp(address: string): Promise<void> {
  const client = new EtcdClient(address);
  const value = 'x'.repeat(BIG_VALUE_BYTES);
  for (let i = 0; i < BIG_VALUES; i++) await client.put(`${BIG_PREFIX}${i}`, value);
  client.close();
  const session = new GrpcSession(address);
  const lists = Array.from({ length: 40 }, (_, i) => {
    const request = encodeMessage('RangeRequest', { key: BIG_PREFIX, range_end: '/registry/big0', limit: i % 2 === 0 ? 0n : 14n });
    return session.exchange('/etcdserverpb.KV/Range', [request]);
  });
  await Promise.all(lists);
  session.close();
  const busy = Array.from({ length: 8 }, () => new BusyClient(address));
  await Promise.all(busy.map((each) => each.measure(WARM_UP_SECONDS)));
  for (const each of busy) each.close();
}

const WARM_UP_SECONDS = 2;
const CALL_DEADLINE_MS = 30_000;

/** Puts and gets one after the other, all the time. */
class BusyClient {
  readonly failures: string[] = [];
  readonly #client: EtcdClient;
  #calls = 0;

  constructor(address: string) {
    this.#client = new EtcdClient(address);
  }

  async measure(seconds: number): Promise<{ readonly p50: number; readonly p99: number }> {
    const end = performance.now() + seconds * 1000;
    const times: number[] = [];
    while (performance.now() < end) {
      const key = `${BUSY_PREFIX}${this.#calls++ % 100}`;
      const startedAt = performance.now();
      const isPut = this.#calls % 2 === 0;
      const asked = isPut ? this.#client.put(key, 'v'.repeat(1000)) : this.#client.get(key);
      await Promise.race([asked, late()]).catch((error: unknown) => this.failures.push(String(error)));
      times.push(performance.now() - startedAt);
    }
    times.sort((a, b) => a - b);
    const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
    return { p50: at(0.5), p99: at(0.99) };
  }

  close(): void {
    this.#client.close();
  }
}

async function late(): Promise<never> {
  await delay(CALL_DEADLINE_MS, undefined, { ref: false });
  throw new Error(`no answer within ${CALL_DEADLINE_MS} ms`);
}

/** What is to be kept. */
const MAX_GROWTH_MEGABYTES = 50;
/** How much later the other client's slowest calls may be. */
const MAX_P99_FACTOR = 2;
const MAX_LINES = 20;

export interface FloodVerdict {
  /** Memory grows by less than the bound. */
  readonly memory: boolean;
  /** The other client's p99 at most doubles. */
  readonly latency: boolean;
  /** Who breaks the rules is ended; true where nothing ends it within the time that it had. */
  readonly ended: boolean;
  /** What else is wrong: the other client's calls, the log. */
  readonly problems: readonly string[];
}

export function judgeFlood(measurement: FloodMeasurement, seconds: number): FloodVerdict {
  const { name, growthMegabytes, without, with: beside, failures, outcome, lines } = measurement;
  const { goal, patienceSeconds = 0 }: FloodCase = FLOOD_CASES[name];
  const problems: string[] = [];
  if (failures.length > 0) problems.push(`${failures.length} calls of the other client failed: ${failures[0]}`);
  if (lines > MAX_LINES) problems.push(`${lines} lines were logged`);
  return {
    memory: growthMegabytes < MAX_GROWTH_MEGABYTES,
    latency: beside.p99 <= MAX_P99_FACTOR * without.p99,
    ended: goal !== 'ended' || seconds <= patienceSeconds || Object.keys(outcome.ended).length > 0,
    problems,
  };
}

import { EtcdClient } from '@harikube/testing';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { memoryUsage } from '../bench/process-usage.js';
import { encodeMessage } from '../differential/etcd-messages.js';
import { GrpcSession } from '../differential/grpc-session.js';
import type { AttackerData } from './flood-attacker-program.js';
import { BIG_PREFIX, BIG_VALUE_BYTES, BIG_VALUES, BUSY_PREFIX, FLOOD_CASES, type FloodCase, type FloodCaseName } from './flood-cases.js';
import type { FloodOutcome } from './flood-client.js';
import { RouterProcess } from './router-process.js';

export interface FloodMeasurement {
  readonly name: FloodCaseName;
  /** Resident memory of the router in MB: with the well-behaved client alone, at most, and when everything is over. */
  readonly memory: { readonly before: number; readonly peak: number; readonly after: number };
  /** Latencies of the well-behaved client's calls in ms. */
  readonly without: Latencies;
  readonly with: Latencies;
  /** Its calls that were not answered well. */
  readonly failures: readonly string[];
  readonly outcome: FloodOutcome;
  /** Lines that the router logged during the flood. */
  readonly lines: number;
}

export interface Latencies {
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
}

export interface FloodOptions {
  /** Of each half: without the flood, and with it. */
  readonly seconds: number;
  /** How long memory has to come back. */
  readonly restSeconds: number;
}

/** A router, and a client that behaves well. */
export class FloodStage {
  private constructor(
    private readonly folder: string,
    private readonly router: RouterProcess,
    private readonly pid: number,
    private readonly client: BusyClient,
  ) {}

  static async start(): Promise<FloodStage> {
    const folder = await mkdtemp(join(tmpdir(), 'harikube-flood-'));
    const others = await childrenOf(process.pid);
    const router = await RouterProcess.start({ database: join(folder, 'main.db') });
    const pid = (await childrenOf(process.pid)).find((child) => !others.includes(child));
    if (pid === undefined) throw new Error('the router is no child of this process');
    await warmUp(router.address);
    return new FloodStage(folder, router, pid, new BusyClient(router.address));
  }

  /** The well-behaved client alone, and beside a flood. */
  async measure(name: FloodCaseName, { seconds, restSeconds }: FloodOptions): Promise<FloodMeasurement> {
    const { pid, client, router } = this;
    const without = await client.measure(seconds);
    const { residentMegabytes: before } = await memoryUsage(pid);
    await writeFile(`/proc/${pid}/clear_refs`, '5'); // the peak counts from here on
    const linesBefore = router.lines.length;
    const attack = flood({ name, url: router.address, seconds });
    const measured = await client.measure(seconds);
    const outcome = await attack;
    const { peakMegabytes: peak } = await memoryUsage(pid);
    await client.measure(restSeconds);
    const { residentMegabytes: after } = await memoryUsage(pid);
    const lines = router.lines.length - linesBefore;
    return { name, memory: { before, peak, after }, without, with: measured, failures: client.failures.splice(0), outcome, lines };
  }

  /** The exit code of the router, asked to end. */
  async stop(): Promise<number | null> {
    this.client.close();
    const exitCode = await this.router.stop();
    await rm(this.folder, { recursive: true });
    return exitCode;
  }
}

function flood(workerData: AttackerData): Promise<FloodOutcome> {
  const worker = new Worker(new URL('./flood-attacker-program.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const lists = (await readdir(`/proc/${pid}/task`)).map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => ''));
  return (await Promise.all(lists)).join(' ').split(/\s+/).filter(Boolean).map(Number);
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

  async measure(seconds: number): Promise<Latencies> {
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
    return { calls: times.length, p50: at(0.5), p99: at(0.99) };
  }

  close(): void {
    this.#client.close();
  }
}

async function late(): Promise<never> {
  await delay(CALL_DEADLINE_MS, undefined, { ref: false });
  throw new Error(`no answer within ${CALL_DEADLINE_MS} ms`);
}

/** What is wrong with a measurement: memory, the other client's calls, what the offender got, the log. */
export function judgeFlood(measurement: FloodMeasurement, seconds: number, maxGrowthMegabytes: number): readonly string[] {
  const { name, memory, failures, outcome, lines } = measurement;
  const { goal, patienceSeconds = 0 }: FloodCase = FLOOD_CASES[name];
  const problems: string[] = [];
  const growth = memory.peak - memory.before;
  if (growth > maxGrowthMegabytes) problems.push(`memory grew by ${growth.toFixed(0)} MB`);
  if (failures.length > 0) problems.push(`${failures.length} calls of the other client failed: ${failures[0]}`);
  const ended = Object.values(outcome.ended).reduce((sum, times) => sum + times, 0);
  if (goal === 'ended' && seconds > patienceSeconds && ended === 0) problems.push('the offender got away with it');
  if (lines > MAX_LINES) problems.push(`${lines} lines were logged`);
  return problems;
}

const MAX_LINES = 20;

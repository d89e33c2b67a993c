import { runProgram } from '../run-program.js';

/** One measurement, as test/bench/client prints it. */
export interface Summary {
  readonly requests: number;
  readonly errors: number;
  readonly firstError?: string;
  readonly seconds: number;
  readonly perSecond: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface PagesResult {
  readonly loading: Summary;
  /** Latency of each page, in order, of each walk. */
  readonly walksMs: readonly (readonly number[])[];
}

export interface ApiServerResult {
  readonly all: Summary;
  readonly create: Summary;
  readonly list: Summary;
}

/** Runs one measurement of the load client and returns what it found. */
export async function runLoad<Result>(client: string, command: string, flags: Readonly<Record<string, string | number>>): Promise<Result> {
  const args = Object.entries(flags).map(([name, value]) => `-${name}=${value}`);
  return JSON.parse(await runProgram(client, [command, ...args])) as Result;
}

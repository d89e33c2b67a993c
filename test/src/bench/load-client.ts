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
  /** Latency of each page that no page came before. */
  readonly anywhereMs: readonly number[];
}

export interface FanOutResult {
  readonly puts: Summary;
  /** How late the last put was sent: a store that is too slow for the rate falls behind. */
  readonly lateMs: number;
  /** From the sending of a put to its event; each event at each watcher is one. */
  readonly lag: Summary;
}

export interface IdleResult {
  readonly beforeMegabytes: number;
  readonly afterMegabytes: number;
  readonly seconds: number;
}

/** A load with somebody else beside it, who gets single keys and asks for pages. */
export interface AsideResult {
  readonly seconds: number;
  readonly aloneGet: Summary;
  readonly aloneList: Summary;
  readonly withGet: Summary;
  readonly withList: Summary;
  readonly read: { readonly records: number; readonly bytes: number; readonly firstMs: number };
}

export interface UsersResult {
  readonly creating: Summary;
  readonly gets: Summary;
  readonly pages: Summary;
  readonly listSeconds: number;
  readonly listMegabytes: number;
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

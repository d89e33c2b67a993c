import { Random } from '@harikube/etcd-api/spec';
import { codecPart } from './codec-part.js';
import { framingPart } from './framing-part.js';
import { FuzzFinding, type FuzzPart } from './fuzz-part.js';
import { http2Part } from './http2-part.js';
import { requestPart } from './request-part.js';

export const FUZZ_PARTS: readonly FuzzPart[] = [codecPart, framingPart, http2Part, requestPart];

export interface FuzzOptions {
  /** Each execution draws from a seed of its own, counted up from this one. */
  readonly seed: number;
  readonly seconds: number;
  /** At most so many. */
  readonly executions: number;
}

export interface FuzzResult {
  readonly executions: number;
  readonly finding: { readonly seed: number; readonly error: FuzzFinding } | null;
}

/** Executions between two checks of the target. */
const EXECUTIONS_PER_CHECK = 100;

/** Fuzzes until the time is over or something is found. */
export async function fuzz(part: FuzzPart, { seed, seconds, executions }: FuzzOptions): Promise<FuzzResult> {
  const target = await part.start();
  const end = performance.now() + seconds * 1000;
  let done = 0;
  let finding: FuzzResult['finding'] = null;
  try {
    while (performance.now() < end && done < executions) {
      await target.execute(new Random(seed + done));
      done++;
      if (done % EXECUTIONS_PER_CHECK === 0) await target.check();
    }
    await target.check();
  } catch (error) {
    finding = { seed: seed + done, error: asFinding(error) };
  }
  await target.close().catch((error: unknown) => (finding ??= { seed: seed + done, error: asFinding(error) }));
  return { executions: done, finding };
}

function asFinding(error: unknown): FuzzFinding {
  if (error instanceof FuzzFinding) return error;
  return new FuzzFinding(error instanceof Error ? (error.stack ?? error.message) : String(error), Buffer.alloc(0));
}

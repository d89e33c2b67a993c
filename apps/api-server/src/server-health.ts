import type { HealthCheck } from '@harikube/platform';

export interface HealthAnswer {
  readonly code: number;
  readonly text: string;
}

/**
 * `/livez`, `/readyz`, `/healthz` and the single checks below them, as kube-apiserver answers them: `ok`, or a line for each check. Why one failed is for
 * the log only. Null: there is no such check.
 */
export async function healthAnswer(
  page: string,
  single: string,
  checks: readonly HealthCheck[],
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<HealthAnswer | null> {
  const ping: HealthCheck = { name: 'ping', isCritical: true, check: () => undefined };
  const excluded = query.getAll('exclude');
  const all = [ping, ...checks].filter(
    ({ name, isCritical }) => isCritical && (single === '' ? !excluded.includes(name) : name === single),
  );
  if (single !== '' && all.length === 0) return null;
  const results = await Promise.all(all.map(async (check) => ({ name: check.name, isHealthy: await passes(check, signal) })));
  const isHealthy = results.every((result) => result.isHealthy);
  if (isHealthy && !query.has('verbose')) return { code: 200, text: 'ok' };
  const lines = results.map((result) => (result.isHealthy ? `[+]${result.name} ok` : `[-]${result.name} failed: reason withheld`));
  return { code: isHealthy ? 200 : 500, text: [...lines, `${page} check ${isHealthy ? 'passed' : 'failed'}`, ''].join('\n') };
}

async function passes(check: HealthCheck, signal: AbortSignal): Promise<boolean> {
  try {
    await check.check(signal);
    return true;
  } catch {
    return false;
  }
}

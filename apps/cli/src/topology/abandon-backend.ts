import { ConfigError, type RouterBackendReport } from '@harikube/platform';
import { amountText, keysText } from './amount.js';
import { answer, EXIT, type Output } from './output.js';
import { type RouterFlags, routerOf } from './router-access.js';

/** What stands in the place of a number that a lost database does not tell. */
const UNKNOWN = 'unknown';

export interface AbandonOptions extends RouterFlags {
  /** The number of keys that are given up, or `unknown`. */
  readonly confirm?: string;
}

/**
 * Gives up what a backend of a router holds, so that its rule may go; resolves to an exit code. Nothing is given up unless the present number of its keys
 * is confirmed: without that it says how many they are. Throws `ConfigError` for a backend that is none.
 */
export async function abandonBackend(name: string, { confirm, ...flags }: AbandonOptions, output: Output): Promise<number> {
  const router = routerOf(flags);
  const { backends } = await router.topology();
  const report = reportOf(name, backends);
  const { keys, endpoint } = report;
  const wanted = keys === null ? UNKNOWN : String(keys);
  if (confirm !== wanted) {
    answer(output, { backend: name, keys, isAbandoned: false }, [
      `backend "${name}" (${endpoint}): ${amountText(report)}${confirm === undefined ? '' : `, and ${confirm} was confirmed`}; nothing is given up`,
      `to give up what it holds, so that its rule may be taken out of the topology: harikube topology abandon ${name} --confirm ${wanted}`,
    ]);
    return EXIT.held;
  }
  const result = await router.abandon({ backend: name, confirm: keys });
  const what = keys === null ? 'whatever it holds' : keysText(result.keys);
  answer(output, { ...result, isAbandoned: true }, [
    `backend "${name}" (${endpoint}): ${what} given up; served until its rule goes, and not found any more then`,
  ]);
  return EXIT.fine;
}

function reportOf(name: string, backends: readonly RouterBackendReport[]): RouterBackendReport {
  // The default one comes last of those in force, and has no rule that could go.
  const withRules = backends.filter(({ retiredAt }) => retiredAt === undefined).slice(0, -1);
  const report = withRules.find((backend) => backend.name === name);
  if (report !== undefined) return report;
  const names = withRules.map((backend) => backend.name).join(', ');
  throw new ConfigError([`the router has no rule for a backend "${name}" that could be given up; it has ${names === '' ? 'none' : names}`]);
}

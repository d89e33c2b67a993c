import { parseArgs } from 'node:util';
import { CHECKED_ENGINES, type CheckedEngine, THREE_FILES } from './engines.js';

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `Clients that do everything at once on a router over several databases, and a judge of what they were told.

  node test/dist/consistency/run.js [--seconds 60 | --minutes N] [--seed N] [--clients 8] [--engines LIST] [--kills N]
                                       [--tight] [--mutant NAME]
  node test/dist/consistency/run.js --mutants [--seconds 60] [--seed N]
  node test/dist/consistency/run.js --replay FILE

--seconds, --minutes  for how long, in rounds of 15 s on a router of its own each; with --mutants: for each of them
--seed                of the first round; each further one has the next
--clients             that write, read and watch at once
--engines             of the router's databases, the default one first: ${CHECKED_ENGINES.join(', ')}, in any order and number;
                      default: ${THREE_FILES.join()}
--kills               how often a router is killed and started again in each round
--tight               with caches and messages so small that every seam between memory and database is crossed all the time
--mutant              performs a mutant on the router: the run has to fail
--mutants             performs each mutant, and tells what it was caught by; fails when one was not
--replay              judges the history of a failed run again

A round that fails is kept in a file and made smaller: fewer clients, operations and keys, as long as it goes on to fail.
`;

export interface Options {
  readonly seconds: number;
  readonly seed: number;
  readonly clients: number;
  readonly engines: readonly CheckedEngine[];
  readonly kills: number;
  /** Names of mutants that are performed on every router. */
  readonly mutants: readonly string[];
  readonly allMutants: boolean;
  /** The history to judge; null: none. */
  readonly replay: string | null;
}

/** Reads the command line; null: help was asked for. */
export function parseOptions(args: readonly string[], now: number): Options | null {
  const values = parse(args);
  if (values.help) return null;
  if (values.seconds !== undefined && values.minutes !== undefined) throw new UsageError('--seconds and --minutes: give one of them');
  const minutes = values.minutes === undefined ? null : wholeNumber('--minutes', values.minutes);
  const clients = wholeNumber('--clients', values.clients ?? '8');
  if (clients === 0) throw new UsageError('--clients 0: give at least one');
  return {
    seconds: minutes === null ? wholeNumber('--seconds', values.seconds ?? '60') : minutes * 60,
    seed: values.seed === undefined ? now % 1_000_000 : wholeNumber('--seed', values.seed),
    clients,
    engines: values.engines === undefined ? THREE_FILES : enginesIn(values.engines),
    kills: wholeNumber('--kills', values.kills ?? '0'),
    mutants: [...(values.tight ? ['tight'] : []), ...(values.mutant ?? [])],
    allMutants: values.mutants,
    replay: values.replay ?? null,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string' },
        minutes: { type: 'string' },
        seed: { type: 'string' },
        clients: { type: 'string' },
        engines: { type: 'string' },
        kills: { type: 'string' },
        tight: { type: 'boolean', default: false },
        mutant: { type: 'string', multiple: true },
        mutants: { type: 'boolean', default: false },
        replay: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function enginesIn(text: string): CheckedEngine[] {
  return text.split(',').map((name) => {
    const engine = CHECKED_ENGINES.find((each) => each === name);
    if (engine === undefined) throw new UsageError(`--engines ${text}: "${name}" is not known; take of ${CHECKED_ENGINES.join(', ')}`);
    return engine;
  });
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new UsageError(`${option} ${text}: give a whole number of at most six digits`);
  return Number(text);
}

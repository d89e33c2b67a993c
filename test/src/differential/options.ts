import { parseArgs } from 'node:util';

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `Random requests to etcd and to the router, whose answers have to be the same.

  npm run test:differential -- [--seconds 60] [--seed N]

--seconds  for how long; the episode that is under way then goes on to its end
--seed     of the first episode; each further one has the next. Even: one database behind the router, odd: three
`;

export interface Options {
  readonly seconds: number;
  readonly seed: number;
}

/** Reads the command line; null: help was asked for. */
export function parseOptions(args: readonly string[], now: number): Options | null {
  const values = parse(args);
  if (values.help) return null;
  return {
    seconds: wholeNumber('--seconds', values.seconds ?? '60'),
    seed: values.seed === undefined ? now % 1_000_000_000 : wholeNumber('--seed', values.seed),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { seconds: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean', default: false } },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${option} ${text}: give a whole number of at most nine digits`);
  return Number(text);
}

import { parseArgs } from 'node:util';
import { DEFAULT_PHASES, parsePhases, type Phase } from './phases.js';
import { STORE_NAMES, type StoreName } from './stores.js';

const SUBJECTS = ['phases', 'apiserver', 'pages', 'watches', 'scale', 'users', 'registrations', 'events'] as const;

export interface BenchOptions {
  readonly what: (typeof SUBJECTS)[number];
  readonly stores: readonly StoreName[];
  readonly phases: readonly Phase[];
  readonly repetitions: number;
  readonly seconds: number;
  /** Of phases, in seconds. */
  readonly warmUp: number;
  readonly objects: number;
  readonly preload: number;
  readonly cold: boolean;
  /** Of phases: the load comes from grpc-go's client instead of a light one. */
  readonly grpcGo: boolean;
  readonly tenants: number;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `The router beside etcd and kine, interleaved, on this machine.

  npm run bench                 creates, gets and lists over the etcd API
  npm run bench -- apiserver    through a real kube-apiserver per store
  npm run bench -- pages        200 000 objects walked in pages of 500, with the limits that have to hold
  npm run bench -- watches      100 watchers of 1000 events a second, and 10 000 idle watches
  npm run bench -- scale        1 000 000 objects in one store: loaded, walked, read at once, compacted, started on
  npm run bench -- users        100 000 Users through a kube-apiserver per store, and the memory of both
  npm run bench -- registrations  people registered on a harikube up, and what one of them is told beside 10 000 Tenants
  npm run bench -- events       events through one trigger of a harikube up: how many a second, and how late

--stores A,B       of ${STORE_NAMES.join(', ')}
--phases A,B       of create@N, get@N, list@N with N clients; default ${DEFAULT_PHASES}
--preload N        keys that gets and lists go all over, instead of 5000 of which lists take the first 500
--cold             before each phase that reads, the system forgets what it holds of the store's files
--grpc-go          the load comes from grpc-go's client, which takes twice the processor time of the usual one or more
--repetitions N    default 3 (apiserver, watches: 1; pages: 5)
--seconds S        of each phase; default 2.5 (apiserver: 30, watches: 10)
--warm-up S        of each phase, the same load unmeasured before; default 2
--objects N        of pages, scale, users, events; default 200000, 1000000, 100000, 10000
--tenants N        of registrations; default 10000, 0: only register
`;

const ONCE = { stores: 'router', repetitions: '1', seconds: '1', objects: '1' };

const DEFAULTS: Readonly<Record<BenchOptions['what'], typeof ONCE>> = {
  phases: { ...ONCE, stores: 'router,etcd,kine,kine-full', repetitions: '3', seconds: '2.5' },
  apiserver: { ...ONCE, stores: 'router,etcd,kine', seconds: '30' },
  pages: { ...ONCE, repetitions: '5', objects: '200000' },
  watches: { ...ONCE, stores: 'router,etcd', seconds: '10' },
  scale: { ...ONCE, objects: '1000000' },
  users: { ...ONCE, stores: 'router,etcd', objects: '100000' },
  registrations: ONCE,
  events: { ...ONCE, objects: '10000' },
};

/** Reads the command line; `null`: help was asked for. */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  const { values, positionals } = parse(args);
  if (values.help) return null;
  const [first = 'phases', ...more] = positionals;
  const what = SUBJECTS.find((subject) => subject === first);
  if (more.length > 0 || what === undefined) throw new UsageError(`${positionals.join(' ')}: there are ${SUBJECTS.slice(1).join(', ')}`);
  const defaults = DEFAULTS[what];
  const phases = parsePhases(values.phases);
  if (phases === null) throw new UsageError(`--phases ${values.phases}: give a list like ${DEFAULT_PHASES}`);
  return {
    what,
    stores: (values.stores ?? defaults.stores).split(',').map(storeName),
    phases,
    repetitions: positive('--repetitions', values.repetitions ?? defaults.repetitions),
    seconds: positive('--seconds', values.seconds ?? defaults.seconds),
    warmUp: positive('--warm-up', values['warm-up']),
    objects: positive('--objects', values.objects ?? defaults.objects),
    preload: values.preload === undefined ? 0 : positive('--preload', values.preload),
    cold: values.cold,
    grpcGo: values['grpc-go'],
    tenants: values.tenants === '0' ? 0 : positive('--tenants', values.tenants),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        stores: { type: 'string' },
        phases: { type: 'string', default: DEFAULT_PHASES },
        repetitions: { type: 'string' },
        seconds: { type: 'string' },
        'warm-up': { type: 'string', default: '2' },
        objects: { type: 'string' },
        preload: { type: 'string' },
        cold: { type: 'boolean', default: false },
        'grpc-go': { type: 'boolean', default: false },
        tenants: { type: 'string', default: '10000' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function storeName(text: string): StoreName {
  const name = STORE_NAMES.find((each) => each === text);
  if (name === undefined) throw new UsageError(`--stores ${text}: there are ${STORE_NAMES.join(', ')}`);
  return name;
}

function positive(option: string, text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new UsageError(`${option} ${text}: give a number above 0`);
  return number;
}

import { parseArgs } from 'node:util';
import { SETUPS, type Setup } from './setups.js';

export const DEFAULT_KUBERNETES = '0.36.3';

export interface ConformanceOptions {
  /** Version of k8s.io/apiserver, `0.<minor>.<patch>`. */
  readonly kubernetes: string;
  readonly suites: readonly ('etcd3' | 'cacher')[];
  readonly setup: Setup;
  readonly pattern: string;
  /** Tests have servers one after another, emptied in between; false: each has one of its own. */
  readonly isReusing: boolean;
  /** Shell command of another server; undefined: the router. */
  readonly server: string | undefined;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `Kubernetes' own storage tests against the router, or against another server.

  npm run test:conformance -- [--kubernetes ${DEFAULT_KUBERNETES}] [--suite etcd3|cacher] [--setup ${SETUPS.join('|')}] [--run PATTERN] [--reuse] [--server COMMAND]

--setup one    one SQLite file (the default)
        split  a topology that sends the tests' /pods/ keys to a second file
        tls    client certificates everywhere, and the connection test of storagebackend/factory
        postgres, mariadb, etcd   everything in one database of that kind; it is brought along
        mix    everything in etcd but /pods/, which lies in PostgreSQL, and /abc, which lies in MariaDB
--reuse        tests have servers one after another, whose stores are emptied in between; without it each has one of its own
--server       a shell command that serves the etcd API at $SCHEME://localhost:$PORT from the empty folder $DIR, with $CERT, $KEY and $CA
               when they are set, and sends watch progress every $PROGRESS; plain etcd for comparison:
               'etcd --data-dir $DIR --listen-client-urls $SCHEME://localhost:$PORT --advertise-client-urls $SCHEME://localhost:$PORT
                --listen-peer-urls http://localhost:$PEER_PORT \${PROGRESS:+--watch-progress-notify-interval $PROGRESS}
                \${CERT:+--cert-file $CERT --key-file $KEY --trusted-ca-file $CA --client-cert-auth}'
`;

/** Reads the command line; `null`: help was asked for. */
export function parseOptions(args: readonly string[]): ConformanceOptions | null {
  const values = parse(args);
  if (values.help) return null;
  const { kubernetes, suite, setup, run, reuse, server } = values;
  if (!/^[01]\.\d+\.\d+$/.test(kubernetes))
    throw new UsageError(`--kubernetes ${kubernetes}: give a whole version, like ${DEFAULT_KUBERNETES}`);
  if (suite !== undefined && suite !== 'etcd3' && suite !== 'cacher') throw new UsageError(`--suite ${suite}: there are etcd3 and cacher`);
  if (!isSetup(setup)) throw new UsageError(`--setup ${setup}: there are ${SETUPS.join(', ')}`);
  if (reuse && setup === 'tls') throw new UsageError('--reuse with --setup tls: each test makes the certificates of its server');
  return {
    kubernetes: kubernetes.replace(/^1\./, '0.'),
    suites: suite === undefined ? ['etcd3', 'cacher'] : [suite],
    setup,
    pattern: run,
    isReusing: reuse,
    server,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        kubernetes: { type: 'string', default: DEFAULT_KUBERNETES },
        suite: { type: 'string' },
        setup: { type: 'string', default: 'one' },
        run: { type: 'string', default: '.' },
        reuse: { type: 'boolean', default: false },
        server: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function isSetup(text: string): text is Setup {
  return (SETUPS as readonly string[]).includes(text);
}

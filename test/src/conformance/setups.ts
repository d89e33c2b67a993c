import { fileURLToPath } from 'node:url';
import type { Env } from '@harikube/platform';
import { startMariadb, startPostgres } from '@harikube/testing';
import { Binaries, silent } from '@harikube/local-cluster';

export const SETUPS = ['one', 'split', 'tls', 'postgres', 'mariadb', 'etcd', 'mix'] as const;
export type Setup = (typeof SETUPS)[number];

/** What one set-up needs beside the router, for all of its tests. */
export interface PreparedSetup {
  /** The shell command that runs the router for one test; the test server documents its variables. */
  readonly command: string;
  stop(): Promise<void>;
}

interface Rule {
  readonly name: string;
  readonly endpoint: string;
  /** Of the tests' own keys, which lie under /pods/, /registry, /abc and others. */
  readonly prefix: string;
}

interface Databases {
  /** Commands that come before the router. */
  readonly before: string;
  readonly main: string;
  readonly rules: readonly Rule[];
  stop(): Promise<void>;
}

const LAUNCHER = fileURLToPath(new URL('../../../apps/cli/bin/harikube.js', import.meta.url));
/** Each test has a database of its own, named by its port and its shell: ports come again. A folder is removed with its test. */
const OWN_DATABASE = 'test_${PORT}_$$';
/** How often databases of tests that are over are removed. */
const SWEEP_MS = 10_000;

/** Starts the database servers that the set-up needs. */
export async function prepareSetup(setup: Setup, env: Env): Promise<PreparedSetup> {
  const databases = await databasesOf(setup, env);
  return { command: command(databases), stop: () => databases.stop() };
}

async function databasesOf(setup: Setup, env: Env): Promise<Databases> {
  const file = 'sqlite://$DIR/main.db';
  switch (setup) {
    case 'one':
    case 'tls':
      return { before: '', main: file, rules: [], stop: nothing };
    case 'split':
      return { before: '', main: file, rules: [{ name: 'pods', endpoint: 'sqlite://$DIR/pods.db', prefix: '/pods/' }], stop: nothing };
    case 'postgres': {
      const server = await postgres();
      return { before: '', main: server.url, rules: [], stop: () => server.stop() };
    }
    case 'mariadb': {
      const server = await mariadb();
      return { before: '', main: server.url, rules: [], stop: () => server.stop() };
    }
    case 'etcd':
      return { before: await etcd(env), main: ETCD_URL, rules: [], stop: nothing };
    case 'mix': {
      const [first, second] = await Promise.all([postgres(), mariadb()]);
      const rules = [
        { name: 'pods', endpoint: first.url, prefix: '/pods/' },
        { name: 'abc', endpoint: second.url, prefix: '/abc' },
      ];
      return { before: await etcd(env), main: ETCD_URL, rules, stop: async () => void (await Promise.all([first.stop(), second.stop()])) };
    }
  }
}

const nothing = (): Promise<void> => Promise.resolve();

interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

async function postgres(): Promise<Server> {
  const server = await startPostgres({ isDurable: false });
  const sample = await server.createDatabase();
  const seen = new Set<string>();
  // Each takes megabytes. One that nobody was connected to at two looks belongs to a test that is over.
  const sweep = async (): Promise<void> => {
    const { rows } = await server.query(
      `SELECT datname FROM pg_database d WHERE datname LIKE 'test\\_%' AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)`,
    );
    const idle = rows.map((row: { datname: string }) => row.datname);
    for (const name of idle.filter((each) => seen.has(each))) await server.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    seen.clear();
    for (const name of idle) seen.add(name);
  };
  let sweeping: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    sweeping = sweeping.then(sweep).catch(() => undefined);
  }, SWEEP_MS);
  return {
    url: withDatabase(sample),
    stop: async () => {
      clearInterval(timer);
      await sweeping;
      await server.stop();
    },
  };
}

async function mariadb(): Promise<Server> {
  const server = await startMariadb({ isDurable: false });
  return { url: withDatabase(await server.createDatabase()), stop: () => server.stop() };
}

function withDatabase(url: string): string {
  // Not a pattern of `replace`, in which two dollars stand for one.
  return `${url.slice(0, url.lastIndexOf('/'))}/${OWN_DATABASE}`;
}

const ETCD_URL = 'http://127.0.0.1:$PEER_PORT';

/** An etcd of the test's own, which ends with the router: the shell becomes the router by its exec, and keeps its number. */
async function etcd(env: Env): Promise<string> {
  const found = await new Binaries({ env, progress: silent }).find(['etcd'], new AbortController().signal);
  const server = [
    // A test's folder may have a comma in its name, at which etcd parts the outputs of its log.
    `(cd "$DIR" && exec ${quote(found.etcd.path)}`,
    '--data-dir etcd',
    `--listen-client-urls ${ETCD_URL} --advertise-client-urls ${ETCD_URL}`,
    // A lone member is never called by another one.
    '--listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:1 --initial-cluster default=http://127.0.0.1:1',
    '--unsafe-no-fsync --log-outputs stderr,etcd.log)',
  ].join(' ');
  return [
    `${server} & ETCD=$!`,
    `(while kill -0 $$ 2>/dev/null; do sleep 0.2; done; kill -9 $ETCD) >/dev/null 2>&1 &`,
    // It says so itself, hundreds of times, for less than etcdctl takes to ask.
    `until grep -qs 'ready to serve client requests' "$DIR/etcd.log"; do kill -0 $ETCD || exit 1; sleep 0.1; done`,
    '',
  ].join('\n');
}

function command({ before, main, rules }: Databases): string {
  // The launcher is run by this very Node, so that it need not look for one.
  const router = [
    quote(process.execPath),
    quote(LAUNCHER),
    'router',
    '--listen-address "$SCHEME://localhost:$PORT"',
    `--endpoint "multi://${main}"`,
    '--metrics-bind-address 0',
    '${PROGRESS:+--watch-progress-notify-interval "$PROGRESS"}',
    '${CERT:+--server-cert-file "$CERT" --server-key-file "$KEY" --trusted-ca-file "$CA"}',
  ].join(' ');
  if (rules.length === 0) return `${before}exec ${router}`;
  const topology = rules
    .map(({ name, endpoint, prefix }) => `- name: ${name}\n  endpoint: ${endpoint}\n  prefix: { prefix: ${prefix} }\n`)
    .join('');
  return `${before}printf '%s' "backends:\n${topology}" > "$DIR/topology.yaml"
export TOPOLOGY_CONFIG="file://$DIR/topology.yaml"
exec ${router}`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

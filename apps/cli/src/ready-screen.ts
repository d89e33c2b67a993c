import { readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { KUBERNETES_VERSION } from '@harikube/local-cluster';
import { type DataFolder, DEFAULT_DATA_FOLDER, type RunningState } from './data-folder.js';
import { PROGRAMS_FOLDER } from './repository.js';
import { TOPOLOGY_SECRET } from './topology-address.js';

export interface ScreenFacts {
  readonly folder: DataFolder;
  readonly state: RunningState;
  /** Undefined: everything lives in the default database. */
  readonly topology: string | undefined;
  readonly kubectl: { readonly path: string; readonly source: string };
}

/** What a person needs to go on, when everything runs. With the platform it ends with the command that registers a user. */
export function readyScreen(facts: ScreenFacts): string {
  const rows = placeRows(facts);
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return [
    '',
    ...rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`),
    '',
    ...exports(facts).map((line) => `  ${line}`),
    '',
    ...commands(facts).map((line) => (line === '' ? '' : `  ${line}`)),
    '',
  ].join('\n');
}

function placeRows({ folder, state, topology }: ScreenFacts): [string, string][] {
  const rows: [string, string][] =
    state.store === 'etcd'
      ? [['etcd', `${state.storeEndpoint}, data in ${shown(join(folder.path, 'etcd'))}`]]
      : [
          ['router', `${state.storeEndpoint}, health at ${state.routerHealthUrl}/readyz`],
          ['databases', databases(folder.databases, state.defaultDatabase)],
          ['topology', `${topology ?? 'none: everything lives in the default database'}${withoutOperator(state, topology)}`],
        ];
  rows.push(['Kubernetes API', `${state.apiServerUrl} (kube-apiserver ${KUBERNETES_VERSION})`]);
  for (const { name, healthUrl } of state.services ?? []) rows.push([name, `health and metrics at ${healthUrl}/readyz and /metrics`]);
  if (state.mailBoxUrl !== undefined)
    rows.push(['mail box', `${state.mailBoxUrl} (every mail is kept there; SMTP_HOST sends them instead)`]);
  rows.push(['logs', shown(folder.logs)]);
  return rows;
}

/** The kind is there with the platform, but nobody takes up its objects when the router reads its topology elsewhere. */
function withoutOperator({ services }: RunningState, topology: string | undefined): string {
  return services === undefined || topology === TOPOLOGY_SECRET ? '' : ' (TopologyConfigs have no effect)';
}

function exports({ folder, state, kubectl }: ScreenFacts): string[] {
  const first = kubectl.source === 'PATH' ? [] : [`${quoted(dirname(kubectl.path))}:`];
  // At the end: the plugins of kubectl are found there, and nothing else of the folder comes before what the user has.
  const last = state.services === undefined ? [] : [`:${quoted(PROGRAMS_FOLDER)}`];
  return [
    `export KUBECONFIG=${quoted(folder.kubeconfig)}`,
    ...(first.length + last.length === 0 ? [] : [`export PATH=${first.join('')}"$PATH"${last.join('')}`]),
  ];
}

function commands({ folder, state: { services, mailBoxUrl } }: ScreenFacts): string[] {
  if (services === undefined)
    return ['try:', ...['kubectl get namespaces', 'kubectl create namespace demo', 'kubectl api-resources'].map((line) => `  ${line}`)];
  return [
    'see what there is:',
    '  kubectl get tenants,users,emails -A',
    `  npx harikube status${dataFlag(folder)}`,
    '',
    'register a user:',
    `  printf %s 'Webshop-123' | kubectl create registrationrequest jane --password-stdin \\`,
    '    --first-name Jane --last-name Doe --email jane@example.com --phone-number +36301234567 \\',
    `    --country HU --city Budapest --address 'Example street 1' --postal-code 1011`,
    ...(mailBoxUrl === undefined ? [] : ['', `and read the mail that welcomes the user: ${mailBoxUrl}`]),
  ];
}

/** What a command that finds this folder needs. */
function dataFlag({ path }: DataFolder): string {
  return path === resolve(DEFAULT_DATA_FOLDER) ? '' : ` --data ${quoted(shown(path))}`;
}

/** Those that can be seen from here: the default one, and files. */
function databases(folder: string, defaultDatabase: string | undefined): string {
  const files = readdirSync(folder).filter((file) => file.endsWith('.db'));
  return [
    ...(defaultDatabase === undefined ? [] : [`${defaultDatabase} (default)`]),
    ...(files.length === 0 ? [] : [`${files.join(', ')} in ${shown(folder)}`]),
  ].join('; ');
}

/** A path below the current folder in its short form. */
export function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short === '' || short.startsWith('..') ? path : short;
}

function quoted(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

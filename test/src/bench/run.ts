import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Binaries, cacheRoot, ETCD_VERSION, KUBERNETES_VERSION, type Program } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { buildGoProgram } from '../go-program.js';
import { ProgramError, runProgram } from '../run-program.js';
import { apiServerTable, measureApiServer } from './apiserver.js';
import { describeMachine } from './environment.js';
import { eventsTable, measureEvents } from './events.js';
import { KINE, LOAD_CLIENT, pinnedVersion } from './go-programs.js';
import { holds, type Limit } from './limit.js';
import { type BenchOptions, parseOptions, USAGE, UsageError } from './options.js';
import { describePages, measurePages } from './pages.js';
import { measurePhases, phasesTable } from './phases.js';
import { measureRegistrations, registrationsTables } from './registrations.js';
import { describeScale, measureScale } from './scale.js';
import { DURABILITY } from './stores.js';
import { measureUsers, usersTable } from './users.js';
import { describeWatches, measureWatches } from './watches.js';

interface Outcome {
  readonly text: string;
  readonly problems: readonly string[];
}

/** Builds what is missing, measures what the options say, and returns text for docs/measurements.md. */
async function bench(options: BenchOptions, folder: string, env: NodeJS.ProcessEnv, note: (text: string) => void): Promise<Outcome> {
  if (options.what === 'registrations') {
    return { text: registrationsTables(await measureRegistrations(options.tenants, { folder, env, note })), problems: [] };
  }
  if (options.what === 'events') return { text: eventsTable(await measureEvents(options.objects, { folder, env, note })), problems: [] };
  const cache = cacheRoot(env);
  const client = await buildGoProgram(LOAD_CLIENT, cache, note);
  const kine = options.stores.some((store) => store.startsWith('kine')) ? await buildGoProgram(KINE, cache, note) : '';
  const kubernetes = await findKubernetes(options, env, note);
  const context = { client, programs: { etcd: kubernetes.etcd, kine }, folder, note };
  switch (options.what) {
    case 'phases': {
      const result = await measurePhases(options, context);
      return { text: phasesTable(result), problems: result.errors };
    }
    case 'apiserver': {
      const result = await measureApiServer(options, { ...context, kubernetes, env });
      return { text: apiServerTable(result), problems: result.errors };
    }
    case 'pages': {
      const texts: string[] = [];
      const problems: string[] = [];
      for (const store of options.stores) {
        note(`loading ${options.objects} objects into ${store}, then walking them, ${options.repetitions} times`);
        const { text, holds } = describePages(store, await measurePages(store, options, context));
        texts.push(text);
        if (!holds) problems.push(`${store} is above a limit`);
      }
      return { text: texts.join('\n'), problems };
    }
    case 'watches': {
      const { text, limits } = describeWatches(await measureWatches(options, context));
      return { text, problems: brokenOf(limits) };
    }
    case 'scale': {
      const texts: string[] = [];
      const limits: Limit[] = [];
      for (const store of options.stores) {
        const result = await measureScale(store, options.objects, context);
        texts.push(describeScale(store, result));
        limits.push(...result.limits);
      }
      return { text: texts.join('\n\n'), problems: brokenOf(limits) };
    }
    case 'users':
      return { text: usersTable(await measureUsers(options.stores, options.objects, { ...context, kubernetes, env })), problems: [] };
  }
}

function brokenOf(limits: readonly Limit[]): string[] {
  return limits.filter((limit) => !holds(limit)).map(({ what, value, below }) => `${what} is ${value.toFixed(2)}, not below ${below}`);
}

async function findKubernetes(options: BenchOptions, env: NodeJS.ProcessEnv, note: (text: string) => void) {
  const wanted: Program[] = [
    ...(options.stores.some((store) => store.endsWith('etcd')) ? (['etcd'] as const) : []),
    ...(options.what === 'apiserver' || options.what === 'users' ? (['kube-apiserver', 'kube-controller-manager'] as const) : []),
  ];
  const found = await new Binaries({ env, progress: { note, update: () => undefined } }).find(wanted);
  const path = (program: Program): string => (wanted.includes(program) ? found[program].path : '');
  return {
    etcd: path('etcd'),
    'kube-apiserver': path('kube-apiserver'),
    'kube-controller-manager': path('kube-controller-manager'),
  };
}

async function describeRun(options: BenchOptions, folder: string, args: readonly string[]): Promise<string> {
  const versions: string[] = [];
  if (options.stores.some((store) => store.endsWith('etcd'))) versions.push(`etcd ${ETCD_VERSION}`);
  if (options.stores.some((store) => store.startsWith('kine')))
    versions.push(`kine ${await pinnedVersion(KINE, 'github.com/k3s-io/kine')}`);
  if (['apiserver', 'users', 'registrations', 'events'].includes(options.what)) versions.push(`Kubernetes ${KUBERNETES_VERSION}`);
  const commit = (await runProgram('git', ['rev-parse', '--short', 'HEAD']).catch(() => 'unknown')).trim();
  const how = {
    phases: `Values of 1.5 kB, ${options.preload > 0 ? `${options.preload} keys to get all over and to walk in pages of 500${options.cold ? ', the files not in the page cache when a phase begins' : ''}` : '5000 keys to get and list'}, closed loop over 4 connections from ${options.grpcGo ? "grpc-go's client" : 'a light client'} on the same machine, ${options.seconds} s each after ${options.warmUp} s of the same, fresh stores; medians of ${options.repetitions} interleaved repetitions, ratios compared repetition by repetition.`,
    apiserver: `One kube-apiserver (default flags) on each store in turn, 10 workers, ${options.seconds} s, client on the same machine: 6 creates of 1 kB objects of 6 cluster-scoped kinds, then 6 lists by label, each checked to hold exactly its object; medians of ${options.repetitions}.`,
    pages:
      'Loaded by creates, then walked as kube-apiserver does: first page at latest, the others at its revision from behind the last key. The client collects its garbage between pages.',
    watches: `100 streams on 4 connections watch one prefix, to which 1000 puts a second of 1 kB are sent for ${options.seconds} s after a warm-up of 2 s; lag: from the sending of a put to its event, client on the same machine. Idle watches: each of a prefix of its own; memory before and 3 s after the last one was made. Medians of ${options.repetitions}.`,
    scale: `Loaded by creates from 64 clients; walked as kube-apiserver does; the peak is that of each step alone. A walk is cut into 20 parts, of which the slowest one's median is compared with that of the small store. The unpaged range is read and forgotten by a client of HTTP/2.`,
    users:
      'One kube-apiserver (default flags, watch cache on) on each store in turn; 1000 Users a namespace. Pages go on with a token, lists of all come from the watch cache.',
    registrations:
      'A `harikube up` of its own; the client is on the same machine. Registrations by POST to the aggregated API, from the request to the 201. Then Tenants are made, and one user asks by its token, one request after another.',
    events:
      'A `harikube up --separate` of its own; writer and receiver are one process on the same machine. 16 callers create ConfigMaps of 1 kB as fast as they can; one trigger with 32 requests at once sends each to the receiver. Lag: from the answer to the creation to the request that is accepted.',
  }[options.what];
  return [
    `\`npm run bench${args.length > 0 ? ` -- ${args.join(' ')}` : ''}\`, ${new Date().toISOString().slice(0, 10)}, commit ${commit}${versions.length > 0 ? `, ${versions.join(', ')}` : ''}.`,
    `Machine: ${await describeMachine(folder)}.`,
    how,
    ...options.stores.map((store) => `- ${store}: ${DURABILITY[store]}`),
  ].join('\n');
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const options = parseOptions(args);
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const header = await describeRun(options, folder, args);
  const { text, problems } = await bench(options, folder, readEnv(), (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${header}\n\n${text}\n`);
  for (const problem of problems) process.stdout.write(`\nPROBLEM: ${problem}\n`);
  await rm(folder, { recursive: true });
  return problems.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof UsageError) && !(error instanceof ProgramError)) throw error;
  process.stderr.write(`${error.message}\n`);
  return error instanceof UsageError ? 2 : 1;
});

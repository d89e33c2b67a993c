/** The programs of the platform as commands: each alone in its process, or several together. */
import { readFileSync } from 'node:fs';
import { errorCode, SetupError } from '@harikube/local-cluster';
import {
  ConfigError,
  type Env,
  type FlagDefinition,
  flagUsage,
  parseFlags,
  type PreparedService,
  runServices,
  type ServiceProgram,
} from '@harikube/platform';

interface ServiceCommand {
  readonly name: string;
  readonly summary: string;
  /** `harikube up` alone starts it; it is not listed among the commands. */
  readonly isHidden?: boolean;
  /** What one program needs is loaded when it is the one that runs. */
  load(): Promise<ServiceProgram>;
}

const CONTROLLERS = [
  {
    name: 'registration-controller',
    summary: 'make a Tenant, a User and a mail of each RegistrationRequest',
    load: async () => (await import('@harikube/registration-controller')).registrationControllerProgram,
  },
  {
    name: 'tenant-controller',
    summary: 'give each Tenant its namespace and its rights',
    load: async () => (await import('@harikube/tenant-controller')).tenantControllerProgram,
  },
  {
    name: 'user-controller',
    summary: 'give each User an account, its rights and the place of its password',
    load: async () => (await import('@harikube/user-controller')).userControllerProgram,
  },
] as const satisfies readonly ServiceCommand[];

/** In the order in which they start: admission first, since everything that the others write passes it. */
export const SERVICES = [
  {
    name: 'admission-webhook',
    summary: 'judge what is written: defaults, hashes of passwords, what no schema can say',
    load: async () => (await import('@harikube/admission-webhook')).admissionWebhookProgram,
  },
  {
    name: 'topology-operator',
    summary: 'merge TopologyConfigs into what the router reads, and say what became of them',
    load: async () => (await import('@harikube/topology-operator')).topologyOperatorProgram,
  },
  {
    name: 'api-server',
    summary: 'serve the aggregated API that registers a user and waits for the result',
    load: async () => (await import('@harikube/api-server')).apiServerProgram,
  },
  ...CONTROLLERS,
  {
    name: 'mail-catcher',
    summary: 'take every mail that is sent on this machine, and show them in a browser',
    isHidden: true,
    load: async () => (await import('./mail-catcher/mail-catcher-program.js')).mailCatcherProgram,
  },
  {
    name: 'email-function',
    summary: 'send the mail of an Email that is posted to it, and write its status',
    load: async () => (await import('@harikube/email-function')).emailFunctionProgram,
  },
  {
    name: 'watch-trigger',
    summary: 'send what happens to objects to HTTP servers, as HTTPTriggers say',
    load: async () => (await import('@harikube/watch-trigger')).watchTriggerProgram,
  },
] as const satisfies readonly ServiceCommand[];

export type ServiceName = (typeof SERVICES)[number]['name'];

/** The flags of each service that runs in one process. */
export type ServiceFlags = Readonly<Partial<Record<ServiceName, readonly string[]>>>;

/** What each command runs. */
const COMMANDS: ReadonlyMap<string, readonly ServiceCommand[]> = new Map<string, readonly ServiceCommand[]>([
  ...SERVICES.map((service) => [service.name, [service]] as const),
  ['controllers', CONTROLLERS],
]);

/** The command that runs the services of a file of `ServiceFlags` in one process; `harikube up` alone uses it. */
export const TOGETHER_COMMAND = 'services';

/** The commands that are listed, with a line on each. */
export const SERVICE_COMMANDS: readonly { readonly name: string; readonly summary: string }[] = [
  ...SERVICES.filter((service: ServiceCommand) => service.isHidden !== true).map(({ name, summary }) => ({ name, summary })),
  { name: 'controllers', summary: 'run the three controllers in one process' },
];

export function isServiceCommand(command: string): boolean {
  return COMMANDS.has(command) || command === TOGETHER_COMMAND;
}

/** Resolves when everything serves; the process ends by itself after a signal. Throws errors whose message is for whoever started it. */
export async function runServiceCommand(command: string, argv: readonly string[], env: Env): Promise<void> {
  if (command === TOGETHER_COMMAND) {
    await runServices(await prepareFromFile(argv, env));
    return;
  }
  const programs = await Promise.all((COMMANDS.get(command) ?? []).map((service) => service.load()));
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`${serviceUsage(command, programs)}\n`);
    return;
  }
  await runServices(prepareTogether(programs, argv, env));
}

export function serviceUsage(command: string, programs: readonly ServiceProgram[]): string {
  const [only] = programs;
  const isOne = programs.length === 1 && only !== undefined;
  const summary = isOne ? only.summary : programs.map((program) => `  ${program.name}: ${program.summary}`).join('\n');
  return `harikube ${command}:${isOne ? ' ' : '\n'}${summary}\n\n${isOne ? only.usage() : flagUsage({ flags: unionOfFlags(programs) })}`;
}

/** Each program takes of one command line what it knows. Throws `ConfigError` with everything that cannot be used, once. */
export function prepareTogether(programs: readonly ServiceProgram[], argv: readonly string[], env: Env): PreparedService[] {
  // The environment is read by each program itself, so that its messages name what was set there.
  const given = parseFlags({ flags: unionOfFlags(programs) }, argv, {});
  const argvOf = ({ flags }: ServiceProgram): string[] =>
    flags.flatMap(({ name }) => (given.has(name) ? [`--${name}=${given.text(name) ?? ''}`] : []));
  return collectReasons(programs.map((program) => () => program.prepare(argvOf(program), env)));
}

/** Each flag once; one that means something of its own to several programs says all of it. */
function unionOfFlags(programs: readonly ServiceProgram[]): FlagDefinition[] {
  const union = new Map<string, { readonly flag: FlagDefinition; readonly helps: Set<string> }>();
  for (const flag of programs.flatMap(({ flags }) => flags)) {
    const known = union.get(flag.name) ?? { flag, helps: new Set() };
    known.helps.add(flag.help);
    union.set(flag.name, known);
  }
  return [...union.values()].map(({ flag, helps }) => ({ ...flag, help: [...helps].join('; ') }));
}

async function prepareFromFile(argv: readonly string[], env: Env): Promise<PreparedService[]> {
  const [file] = argv;
  if (file === undefined || argv.length > 1)
    throw new ConfigError([`"harikube ${TOGETHER_COMMAND}" takes one file with the flags of each service`]);
  const flags = readServiceFlags(file);
  const chosen = SERVICES.flatMap(({ name, load }) => {
    const own = flags[name];
    return own === undefined ? [] : [{ load, own }];
  });
  const loaded = await Promise.all(chosen.map(async ({ load, own }) => ({ program: await load(), own })));
  return collectReasons(
    loaded.map(
      ({ program, own }) =>
        () =>
          program.prepare(own, env),
    ),
  );
}

function readServiceFlags(file: string): ServiceFlags {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new SetupError(`${file} is not JSON: ${error.message}`, { cause: error });
    throw new SetupError(`${file} cannot be read (${errorCode(error)}): it is to hold the flags of services`, { cause: error });
  }
  const isFlags = (flags: unknown): boolean => Array.isArray(flags) && flags.every((flag) => typeof flag === 'string');
  const names: readonly string[] = SERVICES.map(({ name }) => name);
  if (
    typeof value !== 'object' ||
    value === null ||
    !Object.entries(value).every(([name, flags]) => names.includes(name) && isFlags(flags))
  ) {
    throw new SetupError(
      `${file} does not hold the flags of services: it is an object with a list of texts for some of ${names.join(', ')}`,
    );
  }
  return value;
}

function collectReasons<T>(attempts: readonly (() => T)[]): T[] {
  const reasons = new Set<string>();
  const results: T[] = [];
  for (const attempt of attempts) {
    try {
      results.push(attempt());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const reason of error.reasons) reasons.add(reason);
    }
  }
  if (reasons.size > 0) throw new ConfigError([...reasons]);
  return results;
}

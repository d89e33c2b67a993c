import { errorCode, ETCD_VERSION, KUBERNETES_VERSION, ProcessStartError, RELEASE_URLS, SetupError } from '@harikube/local-cluster';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type Env, readEnv } from '@harikube/platform';
import { addAdoptCommands } from './adopt-commands.js';
import { addChartHookCommands } from './chart-hook/chart-hook-commands.js';
import { DEFAULT_DATA_FOLDER } from './data-folder.js';
import { packageVersion } from './repository.js';
import { isServiceCommand, runServiceCommand, SERVICE_COMMANDS } from './services.js';
import { addTopologyCommands } from './topology/topology-commands.js';

/** Exit code of a command line that cannot be understood. */
const USAGE = 2;

/** Runs one command line; resolves to its exit code. Each command loads its own libraries: the database drivers alone take longer than most commands. */
export async function main(argv: readonly string[]): Promise<number> {
  const env = readEnv();
  // The router and the services read their flags themselves: they know the reference's spellings.
  if (argv[0] === 'router') return await router(argv.slice(1), env);
  const [command = ''] = argv;
  if (isServiceCommand(command)) return await service(command, argv.slice(1), env);
  process.stdout.on('error', endOfReader);
  if (argv[0] === 'create-registrationrequest') return await plugin(argv.slice(1), env);
  if (argv[0] === 'complete-create-registrationrequest') {
    const { completions } = await import('./create-registrationrequest.js');
    process.stdout.write(completions(argv.slice(1)));
    return 0;
  }
  if (argv[0] === 'complete-kubectl-harikube') {
    const { kubectlHarikubeCompletions } = await import('./topology/kubectl-harikube.js');
    process.stdout.write(kubectlHarikubeCompletions(argv.slice(1)));
    return 0;
  }
  if (argv[0] === 'kubectl-harikube') {
    const { kubectlHarikube } = await import('./topology/kubectl-harikube.js');
    return await run((done) => kubectlHarikube(env, done), argv.slice(1), 'error');
  }
  return await run((done) => commands(env, done), argv, 'harikube');
}

/** Who reads the output, `head` for one, may have enough of it. */
function endOfReader(error: Error): void {
  if (errorCode(error) !== 'EPIPE') throw error;
}

/** Resolves to the exit code of a command line; `prefix` begins each error. */
async function run(commandsOf: (done: (exitCode: number) => void) => Command, argv: readonly string[], prefix: string): Promise<number> {
  let exitCode = 0;
  const program = commandsOf((code) => (exitCode = code));
  try {
    await program.parseAsync(argv.length === 0 ? ['help'] : [...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    return report(error, prefix);
  }
  return exitCode;
}

function commands(env: Env, done: (exitCode: number) => void): Command {
  const program = new Command('harikube')
    .description('Kubernetes on a data layer that routes each kind to its own database')
    .helpCommand('help [command]', 'show what a command does')
    .exitOverride()
    // One line, whatever commander's own layout is.
    .configureOutput({ outputError: (text, write) => write(`${oneLine(text)}\n`) });

  program
    .command('up')
    .description('start the platform on this machine and keep it running')
    .option('--data <folder>', 'where everything is kept', DEFAULT_DATA_FOLDER)
    .option('--port <number>', 'port of the Kubernetes API on 127.0.0.1', parsePort, 6443)
    .option(
      '--topology <file>',
      'a file that says which kinds live in which database, in the place of TopologyConfigs, which have no effect then (default: TopologyConfigs, at first those of examples/topologyconfigs.yaml)',
    )
    .option('--endpoint <url>', 'the default database, where everything lives that no rule sends elsewhere (default: a SQLite file)')
    .option('--bare', 'the control plane alone: no platform, no TopologyConfigs', false)
    .option('--separate', 'a process for each service of the platform instead of one for all', false)
    .addOption(new Option('--store <kind>', 'what Kubernetes stores everything in').choices(['router', 'etcd']).default('router'))
    .addOption(
      new Option('--kubernetes-download-url <url>', 'where Kubernetes releases are')
        .default(RELEASE_URLS.kubernetes)
        .env('HARIKUBE_KUBERNETES_DOWNLOAD_URL'),
    )
    .addOption(
      new Option('--etcd-download-url <url>', 'where etcd releases are').default(RELEASE_URLS.etcd).env('HARIKUBE_ETCD_DOWNLOAD_URL'),
    )
    .action(async (options: UpFlags) => {
      const { up } = await import('./up.js');
      done(await up({ ...options, urls: { kubernetes: options.kubernetesDownloadUrl, etcd: options.etcdDownloadUrl } }, env));
    });

  program
    .command('router')
    .description('run the data layer alone: one etcd endpoint, many databases (see "harikube router --help")')
    .action(() => undefined);
  for (const { name, summary } of SERVICE_COMMANDS) {
    program
      .command(name)
      .description(`${summary} (see "harikube ${name} --help")`)
      .action(() => undefined);
  }

  addTopologyCommands(program, env, done);
  addAdoptCommands(program, done, writeLine);
  addChartHookCommands(program, done);

  program
    .command('status')
    .description('show what runs on a data folder')
    .option('--data <folder>', 'the folder of "harikube up"', DEFAULT_DATA_FOLDER)
    .action(async (options: { readonly data: string }) => {
      const { status } = await import('./status.js');
      done(await status(options.data, writeLine));
    });

  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(
        `harikube ${packageVersion()} (Kubernetes ${KUBERNETES_VERSION}, etcd ${ETCD_VERSION}, Node ${process.version})\n`,
      );
    });
  return program;
}

function writeLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Writes an error that is meant for the user, and resolves to its exit code; any other error is thrown on. */
function report(error: unknown, prefix = 'harikube'): number {
  if (!(error instanceof Error)) throw error;
  const isSetup = error instanceof SetupError || error instanceof ProcessStartError;
  const code = 'exitCode' in error && typeof error.exitCode === 'number' ? error.exitCode : isSetup ? 1 : null;
  if (code === null) throw error;
  process.stderr.write(`${prefix}: ${error instanceof ProcessStartError ? startMessage(error) : error.message}\n`);
  return code;
}

/** A child that is this program, too, has said in its last lines why it does not start. */
function startMessage({ process: name, message, output }: ProcessStartError): string {
  const own = output.findLastIndex((line) => line.startsWith('harikube: '));
  return own < 0
    ? message
    : [`${name} does not start:`, ...output.slice(own).map((line) => `  ${line.replace(/^harikube: /, '')}`)].join('\n');
}

interface UpFlags {
  readonly data: string;
  readonly port: number;
  readonly topology?: string;
  readonly endpoint?: string;
  readonly bare: boolean;
  readonly store: 'router' | 'etcd';
  readonly separate: boolean;
  readonly kubernetesDownloadUrl: string;
  readonly etcdDownloadUrl: string;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw new InvalidArgumentError('a port is a number from 1 to 65535.');
  return port;
}

function oneLine(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  return `harikube: ${line}${/did you mean/i.test(line) ? '' : '; see "harikube help"'}`;
}

/** Resolves when the router serves; it ends by itself after a signal. */
async function router(argv: readonly string[], env: Env): Promise<number> {
  const { runRouter } = await import('@harikube/router');
  try {
    await runRouter(argv, env);
    return 0;
  } catch (error) {
    return report(error);
  }
}

/** Resolves when the services serve; the process ends by itself after a signal. */
async function service(command: string, argv: readonly string[], env: Env): Promise<number> {
  try {
    await runServiceCommand(command, argv, env);
    return 0;
  } catch (error) {
    return report(error);
  }
}

/** The kubectl plugin; its exit codes are kubectl's: 0 or 1. */
async function plugin(argv: readonly string[], env: Env): Promise<number> {
  const { createRegistrationRequest } = await import('./create-registrationrequest.js');
  try {
    return await createRegistrationRequest(argv, env);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    return 1;
  }
}

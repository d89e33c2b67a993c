import { ConfigError, type Env } from '@harikube/platform';
import { Command, type Option } from 'commander';
import { completionText, FILES, NO_FILES } from '../kubectl-completion.js';
import type { ClusterFlags } from './cluster-access.js';
import type { OutputFormat } from './output.js';
import { EXIT_CODES, standardOutput, withOutput } from './topology-commands.js';

type Flags = ClusterFlags & { readonly output: OutputFormat };

// Not a required option of commander's: it would be asked for before a misspelt flag is named.
const NO_FILE = 'a file is needed: give it with -f, or - for standard input';

/** The command line of the kubectl plugin `kubectl harikube`: what is asked goes through the API server, with the rights of whoever asks. */
export function kubectlHarikube(env: Env, done: (exitCode: number) => void): Command {
  const program = new Command('kubectl harikube')
    .description('ask the topology of a cluster: which kinds live in which database')
    .helpCommand('help [command]', 'show what a command does')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/\s*\n(?=.)/g, ' ')) });
  const topology = program.command('topology').description('show, check, plan and explain TopologyConfigs');
  withClusterFlags(
    topology
      .command('status')
      .description('show each TopologyConfig, how far it is, and what its databases hold')
      .addHelpText('after', EXIT_CODES),
    'the namespace of the TopologyConfigs (default: all)',
  ).action(async ({ output, ...flags }: Flags) => {
    const { clusterStatus } = await import('./cluster-status.js');
    done(await clusterStatus(flags, env, standardOutput(output)));
  });
  withOutput(
    topology
      .command('check')
      .description('report every problem of a file, without a cluster')
      .option('-f, --filename <file>', 'TopologyConfigs, or a topology; a folder of them, or - for standard input'),
  ).action(async ({ filename, output }: Flags & { readonly filename?: string }) => {
    if (filename === undefined) throw new ConfigError([NO_FILE]);
    const { checkTopology } = await import('./check-topology.js');
    done(await checkTopology(filename, standardOutput(output)));
  });
  withClusterFlags(
    topology
      .command('plan')
      .description('let the cluster judge TopologyConfigs as if they were applied, each for itself; nothing is changed')
      .option('-f, --filename <file>', 'TopologyConfigs: a file, a folder, or - for standard input (may be repeated)', collect)
      .addHelpText('after', EXIT_CODES),
    'the namespace of those that name none (default: that of the context)',
  ).action(async ({ filename, output, ...flags }: Flags & { readonly filename?: readonly string[] }) => {
    if (filename === undefined) throw new ConfigError([NO_FILE]);
    const { clusterPlan } = await import('./cluster-plan.js');
    done(await clusterPlan(filename, flags, env, standardOutput(output)));
  });
  withClusterFlags(
    topology
      .command('explain')
      .description('name the rule and the database of a key or a resource')
      .argument('<key-or-resource>', '/registry/GROUP/RESOURCE/NAMESPACE/NAME, or RESOURCE.GROUP')
      .option('--target <secret>', 'NAMESPACE/NAME of the Secret that the rules are merged into, where there are several'),
    'accepted as kubectl does; a topology is of the whole cluster',
  ).action(async (subject: string, { output, ...flags }: Flags & { readonly target?: string }) => {
    const { clusterExplain } = await import('./cluster-explain.js');
    done(await clusterExplain(subject, flags, env, standardOutput(output)));
  });
  return program;
}

/** What a shell may offer after these words, of which the last is being typed, in the form that kubectl reads. */
export function kubectlHarikubeCompletions(args: readonly string[]): string {
  const current = args.at(-1) ?? '';
  let command = kubectlHarikube({}, () => undefined);
  for (const word of args.slice(0, -1)) command = command.commands.find((one) => one.name() === word) ?? command;
  const [valued, choices] = valuesAfter(command, args.at(-2) ?? '');
  if (valued !== undefined)
    return completionText(
      current,
      choices.map((choice) => [choice, '']),
      choices.length > 0 ? NO_FILES : FILES,
    );
  if (!current.startsWith('-'))
    return completionText(
      current,
      command.commands.map((one) => [one.name(), one.description()]),
    );
  return completionText(
    current,
    command.options.flatMap(({ long, description }) => (long === null || long === undefined ? [] : [[long, description] as const])),
  );
}

/** The option that the word begins, and what it may be followed by. */
function valuesAfter(command: Command, word: string): readonly [option: Option | undefined, choices: readonly string[]] {
  const option = command.options.find(({ long, short }) => word !== '' && (long === word || short === word));
  return [option, option?.argChoices ?? []];
}

function withClusterFlags(command: Command, namespace: string): Command {
  return withOutput(
    command
      .option('--kubeconfig <file>', 'the kubeconfig to use (default: KUBECONFIG, else ~/.kube/config)')
      .option('--context <name>', 'the context of the kubeconfig')
      .option('-n, --namespace <name>', namespace),
  );
}

function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

import type { Env } from '@harikube/platform';
import { type Command, Option } from 'commander';
import type { AbandonOptions } from './abandon-backend.js';
import { OUTPUT_FORMATS, type Output, type OutputFormat } from './output.js';
import { ROUTER_FLAGS, type RouterFlags } from './router-access.js';

interface OutputFlags {
  readonly output: OutputFormat;
}

export const EXIT_CODES = `
Exit codes: 0 it can be used, 1 it cannot, 2 the command line cannot be understood, 3 it is held back by keys that are where they are.`;

/** Adds `topology` and what is below it. */
export function addTopologyCommands(program: Command, env: Env, done: (exitCode: number) => void): void {
  const topology = program
    .command('topology')
    .description('ask which kinds live in which database and what a change would do, and give up what one holds');
  withRouterFlags(
    topology
      .command('explain')
      .description('name the rule and the database of a key or a resource, in a router that runs, else in a file')
      .argument('<key-or-resource>', '/registry/GROUP/RESOURCE/NAMESPACE/NAME, or RESOURCE.GROUP')
      .option('--topology <file>', 'ask this file (default where no router runs: TOPOLOGY_CONFIG, else the example)'),
  ).action(async (subject: string, { output, ...options }: OutputFlags & RouterFlags & { readonly topology?: string }) => {
    const { explainTopology } = await import('./explain-topology.js');
    done(await explainTopology(subject, options, env, standardOutput(output)));
  });
  withOutput(
    topology
      .command('check')
      .description('report every problem of a topology, or of TopologyConfigs, without asking anybody')
      .argument('<file>', 'a topology, a folder of them as a Secret holds them, TopologyConfigs, or - for standard input'),
  ).action(async (file: string, { output }: OutputFlags) => {
    const { checkTopology } = await import('./check-topology.js');
    done(await checkTopology(file, standardOutput(output)));
  });
  withRouterFlags(
    topology
      .command('plan')
      .description('say what a topology would change in a router that runs, and which keys would have to move; nothing is changed')
      .argument('<file>', 'a topology, a folder of them as a Secret holds them, or - for standard input')
      .addHelpText('after', EXIT_CODES),
  ).action(async (file: string, { output, ...flags }: OutputFlags & RouterFlags) => {
    const { planTopology } = await import('./plan-topology.js');
    done(await planTopology(file, flags, standardOutput(output)));
  });
  withRouterFlags(
    topology
      .command('status')
      .description('show what is in force in a router that runs, and what each database holds')
      .addHelpText('after', EXIT_CODES),
  ).action(async ({ output, ...flags }: OutputFlags & RouterFlags) => {
    const { topologyStatus } = await import('./topology-status.js');
    done(await topologyStatus(flags, standardOutput(output)));
  });
  withRouterFlags(
    topology
      .command('abandon')
      .description('give up what a database holds, so that its rule may go; says how many keys that are, unless they are confirmed')
      .argument('<backend>', 'the name of its rule')
      .option('--confirm <keys>', 'give up so many keys; "unknown" for a database that is lost')
      .addHelpText('after', EXIT_CODES),
  ).action(async (name: string, { output, ...options }: OutputFlags & AbandonOptions) => {
    const { abandonBackend } = await import('./abandon-backend.js');
    done(await abandonBackend(name, options, standardOutput(output)));
  });
}

export function withOutput(command: Command): Command {
  return command.addOption(new Option('-o, --output <format>', 'how the answer is written').choices(OUTPUT_FORMATS).default('text'));
}

export function standardOutput(format: OutputFormat): Output {
  return {
    format,
    line: (text) => void process.stdout.write(`${text}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
  };
}

function withRouterFlags(command: Command): Command {
  for (const [flag, help] of ROUTER_FLAGS) command.option(flag, help);
  return withOutput(command);
}

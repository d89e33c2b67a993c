import type { Command } from 'commander';
import type { EtcdFlags } from './adopt-etcd-access.js';

/** Adds `adopt` and `leave`. */
export function addAdoptCommands(program: Command, done: (exitCode: number) => void, write: (line: string) => void): void {
  withEtcdFlags(
    program
      .command('adopt')
      .description("take a cluster's etcd over in place, as the default database of a router; stop its kube-apiservers first")
      .option('--dry-run', 'only say what would change, and change nothing', false)
      .addHelpText(
        'after',
        `
Keys keep their values, revisions and versions, leases their ids and times. It may be cut short and called again; no router serves
the etcd before it has come to its end. Then: harikube router --endpoint=URL, and kube-apiserver --etcd-servers=ROUTER.`,
      ),
  ).action(async (flags: EtcdFlags & { readonly dryRun: boolean }) => {
    const { adopt } = await import('./adopt.js');
    done(await adopt(flags, write));
  });
  withEtcdFlags(
    program
      .command('leave')
      .description('give an etcd that was adopted back, to be used without a router; stop its routers and kube-apiservers first')
      .option('--yes', 'do it; without this it only says what would change', false)
      .addHelpText(
        'after',
        `
Etcd's revision is raised above every one that the router handed out, each key is written once more, and what the router kept is
removed. It may be cut short and called again.
Exit codes: 0 it is done, 1 it is not (without --yes, too), 2 the command line cannot be understood.`,
      ),
  ).action(async (flags: EtcdFlags & { readonly yes: boolean }) => {
    const { leave } = await import('./leave.js');
    done(await leave(flags, write));
  });
}

function withEtcdFlags(command: Command): Command {
  return command
    .requiredOption('--endpoint <url>', 'the etcd: http://HOST:PORT or https://USER:PASSWORD@HOST:PORT,HOST:PORT')
    .option('--ca-file <file>', 'authority of its certificate')
    .option('--cert-file <file>', 'client certificate')
    .option('--key-file <file>', 'key of the client certificate')
    .option('--skip-verify', 'do not verify its certificate', false);
}

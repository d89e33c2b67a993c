/** What the Jobs of the Helm charts do. They are for the charts' own use: their arguments are part of the charts. */
import { readFile } from 'node:fs/promises';
import type { KubeClient } from '@harikube/kube';
import { type Command, InvalidArgumentError } from 'commander';
import { packageVersion } from '../repository.js';
import type { AuthoritySpec, CertificatesSpec, RemoveSpec, TrustSpec } from './hook-spec.js';
import type { HookContext } from './release-objects.js';

interface TimeoutFlag {
  readonly timeout: number;
}

interface SpecFlag {
  readonly spec: string;
}

interface ApplyFlags extends TimeoutFlag {
  readonly file: string;
  readonly release: string;
  readonly kind: readonly string[];
  readonly dryRun: boolean;
}

/** Adds `chart-hook` and what is below it. */
export function addChartHookCommands(program: Command, done: (exitCode: number) => void): void {
  const hook = program.command('chart-hook', { hidden: true }).description('the steps of the Helm charts that a template cannot do');
  hook
    .command('certificates')
    .description('make the certificates of a release, and renew those that end soon')
    .requiredOption('--spec <json>', 'authorities and their certificates')
    .action(async ({ spec }: SpecFlag) => {
      const [{ makeCertificates }, { parseSpec }] = await Promise.all([import('./release-certificates.js'), import('./hook-spec.js')]);
      const certificates = parseSpec<CertificatesSpec>(spec, ['namespace', 'labels', 'authorities']);
      const each = certificates.authorities.map((authority): AuthoritySpec =>
        parseSpec(JSON.stringify(authority), ['secret', 'commonName', 'certificates']),
      );
      await inCluster(0, (context) => makeCertificates(context, { ...certificates, authorities: each }));
      done(0);
    });
  hook
    .command('trust')
    .description('let kube-apiserver trust the authority of a Secret when it calls webhooks and aggregated APIs')
    .requiredOption('--spec <json>', 'the Secret and who is to trust it')
    .action(async ({ spec }: SpecFlag) => {
      const [{ trustAuthority }, { parseSpec }] = await Promise.all([import('./trust-authority.js'), import('./hook-spec.js')]);
      const trust = parseSpec<TrustSpec>(spec, ['namespace', 'secret']);
      await inCluster(0, (context) => trustAuthority(context, trust));
      done(0);
    });
  withTimeout(
    hook
      .command('apply')
      .description('apply the objects of a file when the cluster accepts them, and remove those that the release has no more')
      .requiredOption('--file <file>', 'YAML documents')
      .requiredOption('--release <namespace.name>', 'whose objects they are')
      .option('--kind <apiVersion/kind>', 'a kind of which objects may have to be removed; may be repeated', collect, [])
      .option('--dry-run', 'only wait until all would be accepted', false),
  ).action(async ({ file, release, kind, dryRun, timeout }: ApplyFlags) => {
    const [{ applyObjects }, { objectsOf }] = await Promise.all([import('./release-objects.js'), import('./hook-spec.js')]);
    const objects = objectsOf(await readFile(file, 'utf8'), file);
    await inCluster(timeout, (context) => applyObjects(context, { objects, release, kinds: kind.map(kindOf), isDryRun: dryRun }));
    done(0);
  });
  withTimeout(
    hook
      .command('remove')
      .description('remove what a release applied, and objects by name, and wait until they are gone')
      .requiredOption('--spec <json>', 'the release and its kinds, objects, and finalizers to take off'),
  ).action(async ({ spec, timeout }: SpecFlag & TimeoutFlag) => {
    const [{ removeObjects }, { parseSpec }] = await Promise.all([import('./release-objects.js'), import('./hook-spec.js')]);
    const removal = parseSpec<RemoveSpec>(spec, []);
    await inCluster(timeout, (context) => removeObjects(context, removal));
    done(0);
  });
  withTimeout(
    hook
      .command('available')
      .description('wait until an aggregated API is available')
      .requiredOption('--api-service <name>', 'VERSION.GROUP'),
  ).action(async ({ apiService: name, timeout }: TimeoutFlag & { readonly apiService: string }) => {
    const [{ awaitCondition }, { API_SERVICES }] = await Promise.all([import('../await-condition.js'), import('../platform-resources.js')]);
    const timeoutMs = timeout * 1000;
    const client = await clientOf();
    try {
      await awaitCondition(client, API_SERVICES, { name, type: 'Available', timeoutMs, signal: new AbortController().signal });
    } finally {
      await client.close();
    }
    done(0);
  });
  withTimeout(
    hook
      .command('test')
      .description('create an object through kube-apiserver, read it, watch it and delete it')
      .requiredOption('--file <file>', 'a YAML document with the object'),
  ).action(async ({ file, timeout }: TimeoutFlag & { readonly file: string }) => {
    const [{ roundTrip }, { objectsOf }] = await Promise.all([import('./round-trip.js'), import('./hook-spec.js')]);
    for (const object of objectsOf(await readFile(file, 'utf8'), file)) await inCluster(timeout, (context) => roundTrip(context, object));
    done(0);
  });
}

function withTimeout(command: Command): Command {
  return command.option('--timeout <seconds>', 'how long it may take', parseSeconds, 120);
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds < 1) throw new InvalidArgumentError('write a number of seconds, such as 120.');
  return seconds;
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}

/** Of `harikube.info/v1/TopologyConfig` and of `v1/Secret`. */
function kindOf(text: string): { readonly apiVersion: string; readonly kind: string } {
  const at = text.lastIndexOf('/');
  return { apiVersion: text.slice(0, at), kind: text.slice(at + 1) };
}

/** Loaded for these commands alone: a router would hold 50 MB more. */
async function clientOf(): Promise<KubeClient> {
  const { KubeClient } = await import('@harikube/kube');
  return KubeClient.fromConfig({ userAgent: `harikube-chart-hook/${packageVersion()}` });
}

async function inCluster(timeoutSeconds: number, run: (context: HookContext) => Promise<void>): Promise<void> {
  const { ResourceDiscovery } = await import('@harikube/kube');
  const client = await clientOf();
  const note = (text: string): void => void process.stdout.write(`${text}\n`);
  try {
    await run({ client, discovery: new ResourceDiscovery(client), timeoutMs: timeoutSeconds * 1000, note });
  } finally {
    await client.close();
  }
}

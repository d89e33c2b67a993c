import { DEFAULT_TARGET_SECRET } from '@harikube/crds';
import { type Explanation, parseTopologyDocuments, type TopologyDocument } from '@harikube/datasources';
import { type KubeClient, type KubeObject, SECRETS, StatusError } from '@harikube/kube';
import { SetupError } from '@harikube/local-cluster';
import { ConfigError, type Env } from '@harikube/platform';
import { type ClusterFlags, inCluster, listConfigs } from './cluster-access.js';
import { type ConfigObject, problemText, targetOf } from './config-object.js';
import { explainTarget, mergeConfigs, originOf } from './config-topology.js';
import { explanationLines } from './explanation-lines.js';
import { answer, EXIT, type Output } from './output.js';

interface SecretObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** Where the rules were read, and what they say. */
interface Explained {
  readonly source: string;
  readonly explanation: Explanation;
  readonly lines: readonly string[];
}

/** A certificate or a key, which stands in the Secret beside the documents. */
const PEM = /^-----BEGIN [A-Z0-9 ]+-----/m;

/**
 * Says which rule places a key or a resource: by the Secret that the rules are merged into when it may be read, else by the TopologyConfigs.
 * Resolves to an exit code.
 */
export async function clusterExplain(
  subject: string,
  { target, ...flags }: ClusterFlags & { readonly target?: string },
  env: Env,
  output: Output,
): Promise<number> {
  const { source, explanation, lines } = await inCluster(flags, env, async ({ client }) => {
    const configs = await configsIn(client);
    const chosen = target ?? onlyTarget(configs.objects);
    const notActive = configs.objects.filter((config) => targetOf(config) === chosen && !isActive(config));
    if (notActive.length > 0) output.note(`not in force yet, or not as written: ${notActive.map(({ file }) => file).join(', ')}`);
    const documents = await readSecret(client, chosen);
    if (Array.isArray(documents)) return explainSecret(chosen, documents, subject);
    output.note(`${documents.reason}: these are the rules as they are written`);
    if (configs.refusal !== null) throw configs.refusal;
    return explainConfigs(chosen, configs.objects, subject);
  });
  answer(output, { source, ...explanation }, [...lines, `by ${source}`]);
  return EXIT.fine;
}

function explainSecret(target: string, documents: readonly TopologyDocument[], subject: string): Explained {
  const explanation = parseTopologyDocuments(documents).explain(subject);
  return { source: `the Secret ${target}`, explanation, lines: explanationLines(explanation, () => '') };
}

function explainConfigs(target: string, configs: readonly ConfigObject[], subject: string): Explained {
  const { topologies, problems } = mergeConfigs(configs.filter((config) => targetOf(config) === target));
  if (problems.length > 0) throw new SetupError(problems.map(problemText).join('\n'));
  const [topology] = topologies;
  if (topology === undefined) throw new SetupError(`no TopologyConfig is for ${target}: every key is in the default database`);
  const explanation = explainTarget(topology, subject);
  const lines = explanationLines(explanation, (placement) => originOf(topology.configs, placement)?.config.file ?? '');
  return { source: `the TopologyConfigs of ${target}`, explanation, lines };
}

/** Whoever may read the Secret alone is told, too. */
async function configsIn(client: KubeClient): Promise<{ readonly objects: readonly ConfigObject[]; readonly refusal: StatusError | null }> {
  try {
    const objects = (await listConfigs(client, undefined)).map((plain): ConfigObject => {
      const { namespace = '', name = '' } = plain.metadata;
      return { plain: { ...plain }, file: `TopologyConfig ${namespace}/${name}`, place: () => null };
    });
    return { objects, refusal: null };
  } catch (error) {
    if (!(error instanceof StatusError) || !error.isForbidden) throw error;
    return { objects: [], refusal: error };
  }
}

function onlyTarget(configs: readonly ConfigObject[]): string {
  const targets = [...new Set(configs.map(targetOf))].toSorted();
  if (targets.length <= 1) return targets[0] ?? DEFAULT_TARGET_SECRET;
  throw new ConfigError([`there are several topologies: choose one of ${targets.join(', ')} with --target`]);
}

function isActive({ plain }: ConfigObject): boolean {
  const { status } = plain as { readonly status?: { readonly deployStatus?: string; readonly observedGeneration?: number } };
  const { generation } = plain['metadata'] as { readonly generation?: number };
  return status?.deployStatus === 'Active' && status.observedGeneration === generation;
}

async function readSecret(client: KubeClient, target: string): Promise<TopologyDocument[] | { readonly reason: string }> {
  const [namespace = '', name = '', ...more] = target.split('/');
  if (namespace === '' || name === '' || more.length > 0)
    throw new ConfigError([`"${target}" names no Secret; write --target NAMESPACE/NAME`]);
  try {
    const { data = {} } = await client.get<SecretObject>(SECRETS, name, namespace);
    return Object.entries(data)
      .map(([key, value]) => ({ name: key, text: Buffer.from(value, 'base64').toString('utf8') }))
      .filter(({ text }) => !PEM.test(text));
  } catch (error) {
    if (!(error instanceof StatusError) || !(error.isForbidden || error.isNotFound)) throw error;
    return { reason: error.isNotFound ? `the Secret ${target} is not there` : `the Secret ${target} may not be read` };
  }
}

import { loadTopology, parseTopologyDocuments, parseTopologySource, topologySourceName } from '@harikube/datasources';
import { SetupError } from '@harikube/local-cluster';
import { ConfigError, type Env, type RouterAdminClient, RouterAdminError } from '@harikube/platform';
import { EXAMPLE_TOPOLOGY, topologyAddress } from '../topology-address.js';
import { holdsManifests, readConfigs } from './check-topology.js';
import { problemText } from './config-object.js';
import { explainTarget, originOf } from './config-topology.js';
import { explanationLines } from './explanation-lines.js';
import { answer, EXIT, type Output } from './output.js';
import { type RouterFlags, routerIfAny } from './router-access.js';
import { readTopologyInput } from './topology-input.js';

/** Says which rule places a key or a resource, and in which database; resolves to an exit code. */
export async function explainTopology(
  subject: string,
  options: RouterFlags & { readonly topology?: string },
  env: Env,
  output: Output,
): Promise<number> {
  const { topology, ...flags } = options;
  if (topology !== undefined) {
    if (Object.keys(flags).some((name) => name !== 'output'))
      throw new ConfigError(['--topology asks a file, and the other flags a router: leave one of them out']);
    return await explainFile(subject, topology, output);
  }
  const router = routerIfAny(flags);
  return router === null ? await explainSource(subject, topologyAddress(undefined, env), output) : await ask(router, subject, output);
}

async function ask(router: RouterAdminClient, subject: string, output: Output): Promise<number> {
  const explanation = await router.explain(subject).catch((error: unknown) => {
    // It is the subject that the router does not understand.
    throw error instanceof RouterAdminError && error.status === 400 ? new ConfigError([error.message]) : error;
  });
  answer(output, explanation, [...explanationLines(explanation, () => ''), `in force in the router at ${router.address}`]);
  return EXIT.fine;
}

async function explainFile(subject: string, file: string, output: Output): Promise<number> {
  if (file !== '-') topologyAddress(file, {});
  const input = await readTopologyInput(file);
  if (!holdsManifests(input)) {
    const topology = parseTopologyDocuments(input.documents.map(({ name, text }) => ({ name: input.pathOf(name), text })));
    const explanation = topology.explain(subject);
    // The number of a line says nothing where there are several texts.
    answer(
      output,
      explanation,
      explanationLines(explanation, () => (input.documents.length > 1 ? '' : input.name)),
    );
    return EXIT.fine;
  }
  const { topologies, problems } = readConfigs(input);
  if (problems.length > 0) throw new SetupError(problems.map(problemText).join('\n'));
  const told = topologies.map(({ target, topology, configs }) => {
    const explanation = explainTarget({ target, topology, configs }, subject);
    const lines = explanationLines(explanation, (placement) => originOf(configs, placement)?.config.file ?? '');
    return {
      value: { target, ...explanation },
      lines: topologies.length > 1 ? [`in ${target}:`, ...lines.map((line) => `  ${line}`)] : lines,
    };
  });
  const values = told.map(({ value }) => value);
  answer(
    output,
    values.length === 1 ? values[0] : values,
    told.flatMap(({ lines }) => lines),
  );
  return EXIT.fine;
}

async function explainSource(subject: string, address: string | undefined, output: Output): Promise<number> {
  const source = parseTopologySource(address ?? EXAMPLE_TOPOLOGY);
  const explanation = (await loadTopology(source)).explain(subject);
  answer(
    output,
    explanation,
    explanationLines(explanation, () => topologySourceName(source)),
  );
  return EXIT.fine;
}

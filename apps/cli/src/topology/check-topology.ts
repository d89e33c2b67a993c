import { parseTopologyDocuments, type Topology, TopologyError } from '@harikube/datasources';
import type { RouterTopologyDocument } from '@harikube/platform';
import { type ConfigObject, type ConfigProblem, problemText } from './config-object.js';
import { mergeConfigs, type TargetTopology, unfollowedEndpoints } from './config-topology.js';
import { isManifest, type Manifests, readManifests } from './manifest.js';
import { answer, EXIT, type Output } from './output.js';
import { readTopologyInput, type TopologyInput } from './topology-input.js';

/** What is known of a file without anybody being asked. */
interface Judgement {
  readonly problems: readonly ConfigProblem[];
  /** Names of backends of each target, or of the one topology that the file is. */
  readonly backends: readonly { readonly target: string | null; readonly names: readonly string[] }[];
  readonly notes: readonly string[];
}

/** Judges a topology, or a file of TopologyConfigs; resolves to an exit code. */
export async function checkTopology(file: string, output: Output): Promise<number> {
  const input = await readTopologyInput(file);
  const { problems, backends, notes } = holdsManifests(input) ? judgeManifests(input) : judgeTopology(input);
  const isSound = problems.length === 0;
  for (const note of notes) output.note(note);
  if (!isSound && output.format === 'text') {
    for (const problem of problems) output.note(problemText(problem));
    return EXIT.wrong;
  }
  answer(
    output,
    { isSound, backends, problems },
    backends.map(({ target, names }) => `${input.name} is sound${target === null ? '' : `, for ${target}`}: ${names.join(', ')}`),
  );
  return isSound ? EXIT.fine : EXIT.wrong;
}

/** True when a document is an object of Kubernetes. */
export function holdsManifests({ documents }: TopologyInput): boolean {
  return documents.some(({ text }) => isManifest(text));
}

/** The TopologyConfigs of the documents, merged as far as they can be, with everything that is wrong with them. */
export function readConfigs({ documents, pathOf }: TopologyInput): {
  readonly configs: readonly ConfigObject[];
  readonly others: readonly string[];
  readonly topologies: readonly TargetTopology[];
  readonly problems: readonly ConfigProblem[];
} {
  const read = documents.map(({ name, text }): Manifests => readManifests(text, pathOf(name)));
  const configs = read.flatMap((manifests) => manifests.configs);
  const { topologies, problems: ofRules } = mergeConfigs(configs);
  const ofObjects = read.flatMap(({ problems }) => problems);
  const known = new Set(ofObjects.map(fieldKey));
  return {
    configs,
    others: read.flatMap(({ others }) => others),
    topologies,
    problems: inTextOrder([...ofObjects, ...ofRules.filter((problem) => !known.has(fieldKey(problem)))]),
  };
}

function judgeManifests(input: TopologyInput): Judgement {
  const { configs, others, topologies, problems } = readConfigs(input);
  const unfollowed = unfollowedEndpoints(configs);
  const none: ConfigProblem = { file: input.name, line: null, column: null, path: '', message: 'holds no TopologyConfig' };
  return {
    problems: configs.length === 0 && problems.length === 0 ? [none] : problems,
    backends: problems.length > 0 ? [] : topologies.map(({ target, topology }) => ({ target, names: topology.registeredNames() })),
    notes: [
      ...(others.length > 0 ? [`not looked at: ${others.join(', ')}`] : []),
      ...(unfollowed.length > 0 ? [`not looked at, since the cluster alone can follow a reference: ${unfollowed.join(', ')}`] : []),
      ...topologies.flatMap(({ topology }) => effectNotes(topology)),
    ],
  };
}

function judgeTopology({ documents, pathOf }: TopologyInput): Judgement {
  try {
    const topology = parseTopologyDocuments(documents.map(({ name, text }): RouterTopologyDocument => ({ name: pathOf(name), text })));
    return { problems: [], backends: [{ target: null, names: topology.registeredNames() }], notes: effectNotes(topology) };
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    return { problems: error.problems, backends: [], notes: [] };
  }
}

function effectNotes(topology: Topology): string[] {
  return topology.withoutEffect().map(({ name, setting }) => `backend "${name}": ${setting} has no effect on this database`);
}

/** What is missing is a problem of the field of that name, and stands where that would be. */
function fieldKey({ file, line, path, message }: ConfigProblem): string {
  const missing = /^"([^"]+)" is missing$/.exec(message)?.[1];
  return JSON.stringify([file, line, missing === undefined ? path : `${path}.${missing}`]);
}

function inTextOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.toSorted((a, b) => a.file.localeCompare(b.file) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

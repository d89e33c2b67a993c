import { ABANDON_DATA_ANNOTATION, parseSecretReference, type TopologyConfig } from '@harikube/crds';
import type { RouterAdminClient, RouterTopologyMove, RouterTopologyPlan, RouterTopologyProblem } from '@harikube/platform';
import type { MergedEntry } from '../merge-topology.js';
import { documentKeys, secretTexts } from '../merged-secret.js';
import type { ConfigProblem } from './config-problems.js';

export interface DryRunInput {
  readonly config: TopologyConfig;
  /** What the target Secret holds, and what it would hold. */
  readonly before: readonly MergedEntry[];
  readonly after: readonly MergedEntry[];
  /** Backends that are this object's affair. */
  readonly own: ReadonlySet<string>;
  /** Backends whose data is given up: what is in them need not be found again. */
  readonly abandoned: ReadonlySet<string>;
}

export interface DryRun {
  /** What this object would bring about. */
  readonly problems: readonly ConfigProblem[];
  /** What the router holds against the rules whether this object is written or not. */
  readonly others: readonly string[];
  /** What would change, when there is nothing against it. */
  readonly changes: readonly string[];
}

interface Finding {
  /** Equal for what is the same before and after. */
  readonly identity: string;
  readonly problem: ConfigProblem;
}

/** Asks the router what it would make of the rules. Rejects with `RouterAdminError`, or with the reason of the signal. */
export async function dryRun(planner: Pick<RouterAdminClient, 'plan'>, input: DryRunInput, signal: AbortSignal): Promise<DryRun> {
  const { before, after } = input;
  const plan = await planner.plan(documentsOf(after), signal);
  const found = findingsOf(plan, after, input);
  if (found.length === 0) return { problems: [], others: [], changes: plan.changes.map((change) => changeText(change, input.config)) };
  const former = new Set(findingsOf(await planner.plan(documentsOf(before), signal), before, input).map(({ identity }) => identity));
  return {
    problems: found.filter(({ identity }) => !former.has(identity)).map(({ problem }) => problem),
    others: found.filter(({ identity }) => former.has(identity)).map(({ problem }) => problem.message),
    changes: [],
  };
}

function documentsOf(entries: readonly MergedEntry[]): { readonly name: string; readonly text: string }[] {
  return [...secretTexts(entries)].map(([name, text]) => ({ name, text }));
}

function findingsOf(plan: RouterTopologyPlan, entries: readonly MergedEntry[], { config, own, abandoned }: DryRunInput): Finding[] {
  const keys = documentKeys(entries);
  return [
    ...plan.check.map((problem) => checkFinding(problem, keys.get(problem.file), config)),
    ...plan.moves.filter(({ from }) => !abandoned.has(from)).map((move) => moveFinding(move, config, own)),
    ...plan.problems.map((sentence) => problemFinding(sentence, config)),
  ];
}

function checkFinding({ path, message }: RouterTopologyProblem, entry: MergedEntry | undefined, config: TopologyConfig): Finding {
  const of = entry?.key ?? '';
  const identity = JSON.stringify(['check', of, path, message]);
  const { uid, namespace = '', name = '' } = config.metadata;
  const [, index] = /^backends\[(\d+)\]\.endpoint$/.exec(path) ?? [];
  if (entry?.uid !== uid && of !== `${namespace}/${name}`) {
    // The endpoint of another object may come from a Secret.
    const what = index === undefined ? message : 'the database is one that another backend has';
    return { identity, problem: { field: 'spec.backends', message: `TopologyConfig ${of}, spec.${path}: ${what}` } };
  }
  const reference = referenceOf(config, Number(index ?? -1));
  return { identity, problem: { field: `spec.${path}`, message: reference === null ? message : hidden(reference) } };
}

function moveFinding({ from, to, keys, bytes, example }: RouterTopologyMove, config: TopologyConfig, own: ReadonlySet<string>): Finding {
  const amount = `${keys} ${keys === 1 ? 'key' : 'keys'} (${bytes} bytes)`;
  const isNamed = (backend: string): boolean => config.spec.backends.some(({ name }) => name === backend);
  const isSame = from === to;
  const places = isSame
    ? `in the database that "${from}" has so far, such as ${example}, would not be found any more`
    : `in "${from}", such as ${example}, would have to be in "${to}", and would not be found any more`;
  const ways = [
    isSame ? 'keep the endpoint' : isNamed(to) ? 'narrow the rule' : 'keep the rule',
    'delete these objects first',
    ...(own.has(from) ? [`give them up by the annotation ${ABANDON_DATA_ANNOTATION}: ${from}=${keys}`] : []),
  ];
  return {
    identity: JSON.stringify(['move', from, to]),
    problem: { field: fieldOf(isNamed(to) ? to : from, config), message: `${amount} ${places}: ${alternatives(ways)}` },
  };
}

function alternatives(ways: readonly string[]): string {
  return ways.length < 3 ? ways.join(', or ') : `${ways.slice(0, -1).join(', ')}, or ${ways.at(-1)}`;
}

function problemFinding(sentence: string, config: TopologyConfig): Finding {
  const backend = /^backend "([^"]*)"/.exec(sentence)?.[1] ?? '';
  const index = config.spec.backends.findIndex(({ name }) => name === backend);
  const reference = referenceOf(config, index);
  return {
    identity: JSON.stringify(['problem', sentence]),
    problem: {
      field: index < 0 ? 'spec.backends' : `spec.backends[${index}].endpoint`,
      message: reference === null ? sentence : hidden(reference),
    },
  };
}

function fieldOf(backend: string, { spec }: TopologyConfig): string {
  const index = spec.backends.findIndex(({ name }) => name === backend);
  return index < 0 ? 'spec.backends' : `spec.backends[${index}]`;
}

/** The endpoint of a backend, where it is a reference to a Secret. */
function referenceOf({ spec }: TopologyConfig, index: number): string | null {
  const { endpoint = '' } = spec.backends[index] ?? {};
  return parseSecretReference(endpoint) === null ? null : endpoint;
}

/** Who may write a TopologyConfig need not be one who may read the Secret. */
function hidden(reference: string): string {
  return `what ${reference} holds is no database that the router can use; look at the value of that key`;
}

function changeText({ kind, backend, detail }: RouterTopologyPlan['changes'][number], config: TopologyConfig): string {
  const index = config.spec.backends.findIndex(({ name }) => name === backend);
  const isHidden = referenceOf(config, index) !== null;
  return `${kind} "${backend}"${isHidden || detail === '' ? '' : `: ${detail}`}`;
}

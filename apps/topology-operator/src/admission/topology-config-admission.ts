import { isDeepStrictEqual } from 'node:util';
import {
  type Admission,
  type AdmissionRequest,
  ALLOWED,
  type Cause,
  invalid,
  isDeleting,
  type JsonObject,
  specCauses,
  type Verdict,
} from '@harikube/admission';
import {
  ABANDON_DATA_ANNOTATION,
  DEPLOY_ORDER_ANNOTATION,
  InvalidDeployOrderError,
  pinOf,
  type SecretReference,
  TOPOLOGY_FINALIZER,
  TopologyConfig,
  validateSpec,
} from '@harikube/crds';
import { referencesOf, type Resolve, UnresolvedReferenceError } from '../config-document.js';
import type { MergedEntry } from '../merge-topology.js';
import { amountOf, ownBackends, reviewAbandonment } from './abandonment-review.js';
import { type ConfigProblem, configProblems, configWarnings, keyOf } from './config-problems.js';
import { previewMerge } from './merge-preview.js';
import type { DryRunInput } from './router-dry-run.js';
import { type JudgingRouter, RouterInquiry } from './router-inquiry.js';

/** What Kubernetes holds, as far as it counts for a verdict. What cannot be read for another reason rejects with that. */
export interface TopologyObjects {
  /** Every TopologyConfig whose target is this Secret, `namespace/name`. */
  configsOf(target: string, signal: AbortSignal): Promise<readonly TopologyConfig[]>;
  /** The documents that the Secret holds; rejects with `UnresolvedReferenceError` when it is not to be read. */
  entriesOf(target: string, signal: AbortSignal): Promise<readonly MergedEntry[]>;
  /** The value of a key of a Secret; rejects with `UnresolvedReferenceError` when it is not there, or not to be read. */
  valueOf(reference: SecretReference, signal: AbortSignal): Promise<Buffer>;
}

export interface TopologyConfigAdmissionOptions {
  readonly objects: TopologyObjects;
  /** Null: the operator was not told of one. */
  readonly router: JudgingRouter | null;
  /** How long the router may take; kube-apiserver waits for little longer. */
  readonly routerPatienceMs?: number;
}

interface Judgement {
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
  /** What would change, when there is nothing against it. */
  readonly changes: readonly string[];
}

/** Of the ten seconds that kube-apiserver waits. */
const ROUTER_PATIENCE_MS = 7000;
/** What kube-apiserver cuts off. */
const MAX_WARNING = 256;
const ORDER_FIELD = `metadata.annotations[${DEPLOY_ORDER_ANNOTATION}]`;

/**
 * Refuses rules that cannot be used: by their text, by those of the other TopologyConfigs of the target, and by what the router finds in its
 * databases. What cannot be found out is a warning. What was there before is not held against an update that leaves it as it was; an object that is
 * being deleted is judged no more, but for the data that it asks to give up.
 */
export class TopologyConfigAdmission implements Admission {
  readonly #options: TopologyConfigAdmissionOptions;

  constructor(options: TopologyConfigAdmissionOptions) {
    this.#options = options;
  }

  async validate(request: AdmissionRequest, signal: AbortSignal): Promise<Verdict> {
    const { operation, object, oldObject } = request;
    if (operation === 'DELETE') return oldObject === null ? ALLOWED : this.#deletion(oldObject, signal);
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED;
    const causes = isDeleting(object) ? [] : specCauses(TopologyConfig, request, object);
    if (causes.length > 0) return invalid(request, causes);
    const config = readable(object);
    // What a former schema took is looked at no further.
    if (config === null) return ALLOWED;
    const former = oldObject === null ? null : readable(oldObject);
    const inquiry = this.#inquiry(config, signal);
    const abandonment = await reviewAbandonment(config, former, inquiry);
    const order = isDeleting(object) ? [] : orderProblems(config, former);
    const problems = [...order, ...abandonment.problems];
    const isSame = former !== null && isDeepStrictEqual(rulesOf(config), rulesOf(former));
    if (problems.length > 0 || isDeleting(object) || isSame) return verdictOf(request, problems, abandonment.warnings);
    const judged = await this.#judge(config, former, { inquiry, abandoned: abandonment.abandoned, signal });
    // Who only tries it is told what would come of it.
    const changes = request.isDryRun ? judged.changes.map((change) => `would ${change}`) : [];
    return verdictOf(request, judged.problems, [...abandonment.warnings, ...judged.warnings, ...changes]);
  }

  async #judge(
    config: TopologyConfig,
    former: TopologyConfig | null,
    {
      inquiry,
      abandoned,
      signal,
    }: { readonly inquiry: RouterInquiry; readonly abandoned: ReadonlySet<string>; readonly signal: AbortSignal },
  ): Promise<Judgement> {
    const target = config.spec.targetSecret;
    const all = await this.#options.objects.configsOf(target, signal);
    const others = all.filter((each) => keyOf(each) !== keyOf(config) && readable(each) !== null);
    const found = configProblems(config, others);
    const known = former === null || found.length === 0 ? [] : configProblems(former, others);
    const problems = found.filter((problem) => !known.some((other) => isDeepStrictEqual(problem, other)));
    if (problems.length > 0) return { problems, warnings: [], changes: [] };
    const warned = (warnings: readonly string[]): Judgement => ({ problems: [], warnings, changes: [] });
    if (found.length > 0) return warned(found.map(({ field, message }) => `${field}: ${message}`));
    const settings = configWarnings(config);
    const merge = await this.#preview(config, others, signal);
    if ('missing' in merge) return warned([...settings, ...merge.missing]);
    const run = await inquiry.dryRun({ config, ...merge, own: ownBackends(config, former), abandoned });
    if ('unknown' in run) return warned([...settings, `whether the rules can be taken up is not known: ${run.unknown}`]);
    const held = run.others.map((message) => `the rules of ${target} are held back already: ${message}`);
    return { problems: run.problems, warnings: [...settings, ...held], changes: run.changes };
  }

  /** What the target Secret holds and would hold, or what has to be there first. */
  async #preview(
    config: TopologyConfig,
    others: readonly TopologyConfig[],
    signal: AbortSignal,
  ): Promise<Pick<DryRunInput, 'before' | 'after'> | { readonly missing: readonly string[] }> {
    const { objects } = this.#options;
    const values = new Map<string, Buffer>();
    const missing: string[] = [];
    for (const reference of referencesOf(config)) {
      const value = await orReason(objects.valueOf(reference, signal));
      if (typeof value === 'string') missing.push(`the rules wait for ${textOf(reference)}: ${value}`);
      else values.set(textOf(reference), value);
    }
    const before = await orReason(objects.entriesOf(config.spec.targetSecret, signal));
    if (typeof before === 'string') missing.push(`whether the rules can be taken up is not known: ${before}`);
    if (typeof before === 'string' || missing.length > 0) return { missing };
    const resolve: Resolve = (reference) => values.get(textOf(reference)) ?? Buffer.alloc(0);
    const after = await orReason(previewMerge({ config, others, before, resolve }));
    return typeof after === 'string' ? { missing: [`the rules wait for their Secrets: ${after}`] } : { before, after };
  }

  /** A deletion is never refused: it is held by the finalizer as long as there is data. */
  async #deletion(object: JsonObject, signal: AbortSignal): Promise<Verdict> {
    const config = readable(object);
    if (config === null) return ALLOWED;
    const reports = await this.#inquiry(config, signal).backends();
    if ('unknown' in reports) return { denial: null, warnings: [shortened(`what its backends hold is not known: ${reports.unknown}`)] };
    const isHeld = config.metadata.finalizers?.includes(TOPOLOGY_FINALIZER) === true;
    const stays = isHeld ? 'this TopologyConfig stays' : 'its rules stay in force';
    const warnings = config.spec.backends.flatMap(({ name }) => {
      const report = reports.get(name);
      if (report === undefined || report.keys === 0) return [];
      if (report.keys === null)
        return [
          `"${name}" cannot be asked (${report.problem}): ${stays} until it can, or until ${ABANDON_DATA_ANNOTATION}: ${name} gives it up`,
        ];
      return [
        `"${name}" holds ${amountOf(report.keys)}: ${stays} until they are gone, or until ${ABANDON_DATA_ANNOTATION}: ${name}=${report.keys} gives them up`,
      ];
    });
    return { denial: null, warnings: warnings.map(shortened) };
  }

  #inquiry({ spec }: TopologyConfig, signal: AbortSignal): RouterInquiry {
    const { router, routerPatienceMs: patienceMs = ROUTER_PATIENCE_MS } = this.#options;
    return new RouterInquiry({ router, target: spec.targetSecret, signal, patienceMs });
  }
}

/** Null: it is not as the schema says. */
function readable(object: unknown): TopologyConfig | null {
  return validateSpec(TopologyConfig, object).length === 0 ? (object as TopologyConfig) : null;
}

/** What decides where keys live, and how. */
function rulesOf({ spec, metadata }: TopologyConfig): unknown {
  return [spec, metadata.annotations?.[DEPLOY_ORDER_ANNOTATION]];
}

function orderProblems(config: TopologyConfig, former: TopologyConfig | null): ConfigProblem[] {
  const text = config.metadata.annotations?.[DEPLOY_ORDER_ANNOTATION];
  if (former !== null && former.metadata.annotations?.[DEPLOY_ORDER_ANNOTATION] === text) return [];
  try {
    pinOf(config);
    return [];
  } catch (error) {
    if (error instanceof InvalidDeployOrderError) return [{ field: ORDER_FIELD, message: error.message }];
    throw error;
  }
}

function verdictOf(request: AdmissionRequest, problems: readonly ConfigProblem[], warnings: readonly string[]): Verdict {
  const causes = problems.map(({ field, message }): Cause => ({
    reason: 'FieldValueInvalid',
    message: `Invalid value: ${message}`,
    field,
  }));
  const shown = warnings.map(shortened);
  return causes.length === 0 ? { denial: null, warnings: shown } : { ...invalid(request, causes), warnings: shown };
}

/** Why it is not there, in place of what is not there. */
async function orReason<T>(answer: Promise<T>): Promise<T | string> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof UnresolvedReferenceError) return error.message;
    throw error;
  }
}

function textOf({ namespace, name, key }: SecretReference): string {
  return `secret://${namespace}/${name}/${key}`;
}

function shortened(warning: string): string {
  const letters = [...warning];
  return letters.length > MAX_WARNING ? `${letters.slice(0, MAX_WARNING - 1).join('')}…` : warning;
}

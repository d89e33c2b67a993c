/** What the status of a TopologyConfig says: a function of what is known and nothing else. */
import { type BackendUsage, type Condition, TOPOLOGY_CONDITIONS, type TopologyConfig, type TopologyConfigStatus } from '@harikube/crds';
import { setCondition } from '@harikube/reconcilers';
import type { Departure } from './departure.js';
import type { Refusal, RefusalReason } from './merge-topology.js';
import { reportOf, type RouterView } from './router-view.js';
import { movesText } from './topology-judge.js';

export type DeployStatus = TopologyConfigStatus['deployStatus'];
type Said = Pick<Condition, 'status' | 'reason' | 'message'>;

/** The target cannot be written. */
export interface TargetProblem {
  readonly reason: 'TargetConflict' | 'TargetNotReady';
  readonly message: string;
}

export interface StatusView {
  readonly config: TopologyConfig;
  /** `namespace/name` of the Secret. */
  readonly target: string;
  readonly targetProblem: TargetProblem | null;
  /** What the Secret holds of it. */
  readonly entry: { readonly key: string; readonly order: number; readonly generation: number } | undefined;
  /** Of the topology that the Secret holds. */
  readonly version: string;
  readonly refusal: Refusal | null;
  readonly departure: Departure | null;
  readonly router: RouterView;
  /** Names of its backends: those in the Secret, else those of the spec. */
  readonly backends: readonly string[];
}

export interface Verdict {
  readonly valid: Said;
  readonly merged: Said;
  readonly active: Said;
  readonly deployStatus: DeployStatus;
  /** Empty when it is Active. */
  readonly deployStatusReason: string;
}

/** Reasons for which an object cannot be used, whatever the router says. */
const INVALID: ReadonlySet<RefusalReason> = new Set(['InvalidDeployOrder', 'InvalidTopology', 'SecretNotReady', 'TooLarge']);

export function verdictOf(view: StatusView): Verdict {
  const { refusal, departure, targetProblem } = view;
  const isInvalid = refusal !== null && INVALID.has(refusal.reason);
  const valid: Said = isInvalid ? not(refusal.reason, refusal.message) : yes('Valid', 'the rules can be used');
  const merged = mergedOf(view);
  const active = activeOf(view, merged);
  const verdict = (deployStatus: DeployStatus, deployStatusReason: string): Verdict => ({
    valid,
    merged,
    active,
    deployStatus,
    deployStatusReason,
  });
  if (departure?.do === 'hold') return verdict('Held', departure.message);
  if (departure !== null)
    return verdict(refusal?.reason === 'DataWouldMove' ? 'Held' : 'Pending', refusal?.message ?? messageOf(departure));
  if (targetProblem !== null) return verdict('Error', targetProblem.message);
  if (refusal !== null) return verdict(statusOfRefusal(refusal.reason), merged.message);
  if (active.status === 'True') return verdict('Active', '');
  return verdict(active.reason === 'DataWouldMove' ? 'Held' : active.reason === 'RouterRefused' ? 'Error' : 'Pending', active.message);
}

function statusOfRefusal(reason: RefusalReason): DeployStatus {
  if (reason === 'DataWouldMove') return 'Held';
  return reason === 'RouterUnreachable' ? 'Pending' : 'Error';
}

function messageOf(departure: Departure): string {
  return departure.do === 'release' ? '' : departure.message;
}

function mergedOf({ config, target, targetProblem, entry, refusal, departure }: StatusView): Said {
  if (targetProblem !== null) return not(targetProblem.reason, targetProblem.message);
  if (departure !== null && entry === undefined) return not('Removed', `the rules are not in ${target} any more`);
  if (refusal !== null) {
    const stays = entry === undefined ? '' : `; the rules of generation ${entry.generation} stay in ${target}`;
    return not(refusal.reason, refusal.message + stays);
  }
  if (entry === undefined) return not('Pending', `the rules are not in ${target} yet`);
  if (departure === null && entry.generation !== config.metadata.generation) return not('Pending', `an earlier generation is in ${target}`);
  return yes('Merged', `the rules are in ${target} as ${entry.key}`);
}

/**
 * Once the router has confirmed a generation, it stays Active as long as the router has the backends: another object that comes or goes, and a
 * router that cannot be asked for a moment, change nothing about it.
 */
function activeOf({ config, router, version, backends }: StatusView, merged: Said): Said {
  if (merged.status !== 'True') return not(merged.reason === 'Removed' ? 'Removed' : 'NotMerged', merged.message);
  const before = config.status?.conditions?.find(({ type }) => type === TOPOLOGY_CONDITIONS.active);
  const wasActive = before?.status === 'True' && before.observedGeneration === config.metadata.generation;
  if (router.kind === 'none') return { status: 'Unknown', reason: 'RouterUnknown', message: router.message };
  const confirmed = yes('Confirmed', 'the router has the rules in force');
  if (router.kind === 'unreachable') {
    return wasActive ? confirmed : { status: 'Unknown', reason: 'RouterUnreachable', message: router.message };
  }
  const { state } = router;
  if (state.version === version) return confirmed;
  if (wasActive && backends.every((backend) => reportOf(state, backend) !== undefined)) return confirmed;
  if (state.error?.version === version) {
    const { moves, message } = state.error;
    return moves.length > 0
      ? not('DataWouldMove', movesText(moves))
      : not('RouterRefused', `the router has not taken the rules up: ${message}`);
  }
  const source = state.source === null ? 'no source' : state.source;
  return not('Pending', `the router has not taken the rules up yet; it reads ${source}`);
}

/** What the router says of the backends. Nothing where it cannot be asked: what it said before may still be so. */
export function usageOf({ router, backends }: StatusView): BackendUsage[] | undefined {
  if (router.kind !== 'seen') return undefined;
  return backends.flatMap((backend) => {
    const report = reportOf(router.state, backend);
    if (report === undefined) return [];
    const { name, keys, bytes } = report;
    return [{ name, ...(keys === null ? {} : { keys }), ...(bytes === null ? {} : { bytes }) }];
  });
}

/** The conditions with the verdict in them; the same array when they say so already. */
export function conditionsOf(config: TopologyConfig, { valid, merged, active }: Verdict, now: Date): Condition[] {
  const observedGeneration = config.metadata.generation;
  const said = [
    { type: TOPOLOGY_CONDITIONS.valid, ...valid, observedGeneration },
    { type: TOPOLOGY_CONDITIONS.merged, ...merged, observedGeneration },
    { type: TOPOLOGY_CONDITIONS.active, ...active, observedGeneration },
  ];
  return said.reduce<Condition[]>((conditions, next) => setCondition(conditions, next, now), config.status?.conditions ?? []);
}

function yes(reason: string, message: string): Said {
  return { status: 'True', reason, message };
}

function not(reason: string, message: string): Said {
  return { status: 'False', reason, message };
}

import { type KubeObject, type Resource, resourceName, StatusError } from '@harikube/kube';
import { NotAPositionError } from './position.js';

/** What is wrong, in one word for programs and one sentence for people. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

/** What a trigger is seen to do, from which its conditions follow. */
export interface TriggerView {
  /** Null: it works. */
  readonly suspended: Problem | null;
  /** Why it does not watch. */
  readonly watchProblem: Problem | null;
  /** False: the watch is not open yet. */
  readonly isFollowing: boolean;
  /** Why it does not deliver. */
  readonly deliveryProblem: Problem | null;
  /** Changes were missed; null: none since the spec changed last. */
  readonly gap: Problem | null;
}

export interface TriggerCondition extends Problem {
  readonly type: 'Ready' | 'Watching' | 'Delivering' | 'Suspended' | 'GapDetected';
  readonly status: 'True' | 'False';
}

const AGGREGATE_LABEL = 'triggers.harikube.info/aggregate-to-watch-trigger';
/** The label of ClusterRoles whose rules the program gets: what triggers may watch. */
export const AGGREGATE_TO_WATCH_TRIGGER = { [AGGREGATE_LABEL]: 'true' } as const;

const STARTING: Problem = { reason: 'Starting', message: 'the watch is being opened' };

export function conditionsOf({ suspended, watchProblem, isFollowing, deliveryProblem, gap }: TriggerView): TriggerCondition[] {
  const notWatching = suspended ?? watchProblem ?? (isFollowing ? null : STARTING);
  const notDelivering = suspended ?? deliveryProblem;
  const notReady = notWatching ?? notDelivering;
  return [
    condition('Ready', notReady, { reason: 'Ready', message: 'events are watched and delivered' }),
    condition('Watching', notWatching, { reason: 'Watching', message: 'the watch is open' }),
    condition('Delivering', notDelivering, { reason: 'Delivering', message: 'events are delivered as they come' }),
    suspended === null
      ? { type: 'Suspended', status: 'False', reason: 'Active', message: 'the trigger is not suspended' }
      : { type: 'Suspended', status: 'True', ...suspended },
    ...(gap === null ? [] : [{ type: 'GapDetected', status: 'True', ...gap } as const]),
  ];
}

function condition(type: TriggerCondition['type'], problem: Problem | null, good: Problem): TriggerCondition {
  return { type, status: problem === null ? 'True' : 'False', ...(problem ?? good) };
}

export interface WatchedPlace {
  readonly resource: Resource<KubeObject>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** Why a list or watch did not succeed. */
export function watchProblem(error: Error, { resource, namespace, labelSelector, fieldSelector }: WatchedPlace): Problem {
  const name = resourceName(resource);
  if (error instanceof NotAPositionError) return { reason: 'VersionsWithoutOrder', message: error.message };
  if (!(error instanceof StatusError)) return { reason: 'WatchFailed', message: error.message };
  if (error.isForbidden) {
    const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
    return {
      reason: 'Forbidden',
      message:
        `the right to get, list and watch ${name} ${resource.namespaced ? where : 'in the cluster'} is missing: ` +
        `add a ClusterRole with these verbs and the label ${AGGREGATE_LABEL}: "true" (${error.message})`,
    };
  }
  if (error.isNotFound) return { reason: 'ResourceNotFound', message: `${name} is not served (any more): ${error.message}` };
  if ((error.code === 400 || error.isInvalid) && (labelSelector !== undefined || fieldSelector !== undefined)) {
    return { reason: 'SelectorRefused', message: `the server refuses the selectors: ${error.message}` };
  }
  return { reason: 'WatchFailed', message: error.message };
}

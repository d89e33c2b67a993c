import { isDeepStrictEqual } from 'node:util';
import { isDeleting } from '@harikube/admission';
import { ABANDON_DATA_ANNOTATION, type TopologyConfig } from '@harikube/crds';
import type { RouterBackendReport } from '@harikube/platform';
import { type AbandonRequest, abandonRequestsOf, InvalidAbandonError } from '../abandon-data.js';
import type { ConfigProblem } from './config-problems.js';
import type { NoAnswer, RouterInquiry } from './router-inquiry.js';

export interface AbandonmentReview {
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
  /** Backends whose data may be given up. */
  readonly abandoned: ReadonlySet<string>;
}

const FIELD = `metadata.annotations[${ABANDON_DATA_ANNOTATION}]`;
const NOTHING: AbandonmentReview = { problems: [], warnings: [], abandoned: new Set() };

/**
 * Whether the data that an object asks to give up is what it says: data is given up by who has said how many keys that are, which the router counts
 * once more when it is done. What the object asked for before is not judged again.
 */
export async function reviewAbandonment(
  config: TopologyConfig,
  former: TopologyConfig | null,
  inquiry: RouterInquiry,
): Promise<AbandonmentReview> {
  let asked: readonly AbandonRequest[];
  try {
    asked = abandonRequestsOf(config);
  } catch (error) {
    if (!(error instanceof InvalidAbandonError)) throw error;
    const isFormer = former?.metadata.annotations?.[ABANDON_DATA_ANNOTATION] === config.metadata.annotations?.[ABANDON_DATA_ANNOTATION];
    return isFormer ? NOTHING : { ...NOTHING, problems: [{ field: FIELD, message: error.message }] };
  }
  const before = formerly(former);
  const isNew = (one: AbandonRequest): boolean => !before.some((other) => isDeepStrictEqual(one, other));
  const own = ownBackends(config, former);
  const news = asked.filter(isNew);
  const reports = news.some(({ backend }) => own.has(backend)) ? await inquiry.backends() : new Map<string, RouterBackendReport>();
  const isGoing = (backend: string): boolean => isDeleting(config) || config.spec.backends.every(({ name }) => name !== backend);
  const verdicts = news.map(({ backend, keys }): AbandonmentVerdict =>
    own.has(backend)
      ? verdictOf({ backend, keys, reports, isGoing: isGoing(backend) })
      : { problem: `"${backend}" is no backend of this TopologyConfig; its backends are ${[...own].join(', ')}` },
  );
  const refused = news.filter((_, index) => 'problem' in (verdicts[index] ?? {}));
  return {
    problems: verdicts.flatMap((verdict) => ('problem' in verdict ? [{ field: FIELD, message: verdict.problem }] : [])),
    warnings: verdicts.flatMap((verdict) => ('warning' in verdict ? [verdict.warning] : [])),
    abandoned: new Set(asked.filter((one) => !refused.includes(one)).map(({ backend }) => backend)),
  };
}

function formerly(former: TopologyConfig | null): readonly AbandonRequest[] {
  if (former === null) return [];
  try {
    return abandonRequestsOf(former);
  } catch (error) {
    if (error instanceof InvalidAbandonError) return [];
    throw error;
  }
}

/** Backends that an object has, or that its former rules have left to it. */
export function ownBackends(config: TopologyConfig, former: TopologyConfig | null): ReadonlySet<string> {
  const named = [config, former].flatMap((each) => [...(each?.spec.backends ?? []), ...(each?.status?.backends ?? [])]);
  return new Set(named.map(({ name }) => name));
}

type AbandonmentVerdict = { readonly problem: string } | { readonly warning: string };

interface Asked extends AbandonRequest {
  readonly reports: ReadonlyMap<string, RouterBackendReport> | NoAnswer;
  /** Its rule goes, and with it what is given up. */
  readonly isGoing: boolean;
}

function verdictOf({ backend, keys, reports, isGoing }: Asked): AbandonmentVerdict {
  const when = isGoing ? 'given up as soon as the operator sees this' : 'given up when its rule goes';
  if ('unknown' in reports) {
    if (keys !== null) return { warning: `the keys of "${backend}" are counted when they are given up, not now: ${reports.unknown}` };
    if (reports.isForGood) return { warning: `the keys of "${backend}" are not counted, and ${when}: ${reports.unknown}` };
    return { problem: `how many keys "${backend}" holds is not known; write ${backend}=KEYS, or try again later: ${reports.unknown}` };
  }
  const report = reports.get(backend);
  if (report === undefined) {
    const what = `backend "${backend}" is not in force: there is nothing to give up`;
    return keys === null ? { problem: `${what}; leave it out` } : { warning: what };
  }
  if (report.keys === null) {
    if (keys === null) return { warning: `the keys of "${backend}" cannot be counted (${report.problem}), and are ${when}` };
    return { problem: `the keys of "${backend}" cannot be counted (${report.problem}); to give them up uncounted write ${backend} alone` };
  }
  const holds = `"${backend}" holds ${amountOf(report.keys)}`;
  if (keys === report.keys) return { warning: `${holds}, ${when}` };
  // Without the number, the keys that are written until the rule goes would go as well.
  return { problem: `${holds}, ${keys === null ? '' : `not ${keys}; `}to give them up write ${backend}=${report.keys}` };
}

export function amountOf(keys: number): string {
  return `${keys} ${keys === 1 ? 'key' : 'keys'}`;
}

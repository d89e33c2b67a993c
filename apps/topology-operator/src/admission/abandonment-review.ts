import { isDeepStrictEqual } from 'node:util';
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
  const own = new Set([config, former].flatMap((each) => each?.spec.backends.map(({ name }) => name) ?? []));
  const news = asked.filter(isNew);
  const reports = news.length === 0 ? new Map<string, RouterBackendReport>() : await inquiry.backends();
  const verdicts = news.map((one) => verdictOf(one, own, reports));
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

type AbandonmentVerdict = { readonly problem: string } | { readonly warning: string };

function verdictOf(
  { backend, keys }: AbandonRequest,
  own: ReadonlySet<string>,
  reports: ReadonlyMap<string, RouterBackendReport> | NoAnswer,
): AbandonmentVerdict {
  if (!own.has(backend)) return { problem: `"${backend}" is no backend of this TopologyConfig; its backends are ${[...own].join(', ')}` };
  if ('unknown' in reports) {
    if (keys !== null) return { warning: `the keys of "${backend}" are counted when they are given up, not now: ${reports.unknown}` };
    return { problem: `how many keys "${backend}" holds is not known; write ${backend}=KEYS, or try again later: ${reports.unknown}` };
  }
  const report = reports.get(backend);
  if (report === undefined) return { warning: `backend "${backend}" is not in force: there is nothing to give up` };
  if (report.keys === null) {
    if (keys === null) return { warning: `the keys of "${backend}" cannot be counted, and are given up: ${report.problem}` };
    return { problem: `the keys of "${backend}" cannot be counted: ${report.problem}; to give them up uncounted write ${backend} alone` };
  }
  const holds = `"${backend}" holds ${amountOf(report.keys)}`;
  if (keys === report.keys || (keys === null && report.keys === 0))
    return { warning: `${holds}, given up as soon as the operator sees this` };
  const said = keys === null ? 'to give them up' : `not ${keys}; to give them up`;
  return { problem: `${holds}, ${said} write ${backend}=${report.keys}` };
}

export function amountOf(keys: number): string {
  return `${keys} ${keys === 1 ? 'key' : 'keys'}`;
}

/** What becomes of the document of a TopologyConfig that was deleted. */
import { ABANDON_DATA_ANNOTATION } from '@harikube/crds';
import type { RouterBackendReport, RouterTopologyState } from '@harikube/platform';
import { reportOf, type RouterView } from './router-view.js';

export interface DepartureView {
  /** Names of the backends in its document: the one in the Secret, else the one of its spec. */
  readonly backends: readonly string[];
  /** Its document is in the Secret. */
  readonly isMerged: boolean;
  /** It was there at some time. */
  readonly wasMerged: boolean;
  /** The router has in force what the Secret holds. */
  readonly isConfirmed: boolean;
  /** Backends whose data may be given up, by the annotation. */
  readonly abandoned: ReadonlySet<string>;
  /** Backends that another TopologyConfig has as well, whose data is not its own. */
  readonly elsewhere: ReadonlySet<string>;
  readonly router: RouterView;
}

export type Departure =
  /** Its rules stay until the data has gone, or until it is known that there is none. */
  | { readonly do: 'hold'; readonly message: string }
  /** Its document goes, or is gone; the object stays until the router has let it go as well. */
  | { readonly do: 'leave'; readonly message: string }
  | { readonly do: 'release' };

export function departureOf(view: DepartureView): Departure {
  const { isMerged, wasMerged, router } = view;
  const own = view.backends.filter((backend) => !view.elsewhere.has(backend));
  const kept = own.filter((backend) => !view.abandoned.has(backend));
  if (router.kind === 'seen') return departureFrom(view, own, router.state);
  if (!isMerged && (router.kind === 'none' || !wasMerged)) return { do: 'release' };
  if (router.kind === 'unreachable') {
    const message = `it cannot be known what its databases hold: ${router.message}`;
    return isMerged ? { do: 'hold', message } : { do: 'leave', message };
  }
  if (kept.length === 0) return { do: 'leave', message: REMOVING };
  const wayOut = `when ${named(kept)} may be lost, say so by the annotation ${ABANDON_DATA_ANNOTATION}: ${kept.join(',')}`;
  return { do: 'hold', message: `${router.message}; ${wayOut}` };
}

const REMOVING = 'the rules are being removed';

function departureFrom({ isMerged, isConfirmed, abandoned }: DepartureView, own: readonly string[], state: RouterTopologyState): Departure {
  const reports = own.flatMap((backend) => reportOf(state, backend) ?? []);
  const full = reports.filter(({ name, keys }) => keys !== 0 && !abandoned.has(name));
  if (full.length > 0) {
    const request = full.map(({ name, keys }) => (keys === null ? name : `${name}=${keys}`)).join(',');
    const wayOut = `delete the objects first, or give the data up by the annotation ${ABANDON_DATA_ANNOTATION}: ${request}`;
    return { do: 'hold', message: `${full.map(contents).join(', and ')}; ${wayOut}` };
  }
  if (isMerged) return { do: 'leave', message: REMOVING };
  return isConfirmed || reports.length === 0 ? { do: 'release' } : { do: 'leave', message: 'the router has not let the rules go yet' };
}

function contents({ name, keys, bytes, problem }: RouterBackendReport): string {
  if (keys === null) return `it is not known what "${name}" holds${problem === '' ? '' : `: ${problem}`}`;
  return `"${name}" holds ${keys} ${keys === 1 ? 'key' : 'keys'}${bytes === null ? '' : ` (${bytes} bytes)`}`;
}

function named(backends: readonly string[]): string {
  return `what ${backends.map((backend) => `"${backend}"`).join(' and ')} ${backends.length === 1 ? 'holds' : 'hold'}`;
}

/** The JSON of the router's admin API, both ways. Revisions are texts: JSON's numbers do not hold them. */

/** One text of a topology: a key of the Secret, a file. */
export interface RouterTopologyDocument {
  /** Documents are taken in the order of their names. */
  readonly name: string;
  readonly text: string;
}

/** Keys that a topology would hide, were it in force. */
export interface RouterTopologyMove {
  /** The backend that holds them. */
  readonly from: string;
  /** The backend to which the rules would lead. */
  readonly to: string;
  readonly keys: number;
  /** Of the records; of more than a thousand keys an estimate by the first thousand. */
  readonly bytes: number;
  /** One of the keys. */
  readonly example: string;
}

export interface RouterTopologyChange {
  readonly kind: 'add' | 'remove' | 'rename' | 'reorder' | 'match' | 'reconfigure';
  /** Its name in the new topology; of one that is removed, in the old one. */
  readonly backend: string;
  /** In words, without credentials. */
  readonly detail: string;
}

/** What is wrong with the text of a topology, and where. */
export interface RouterTopologyProblem {
  /** The document's name. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** `backends[2].customresource.group`; empty: the document itself. */
  readonly path: string;
  readonly message: string;
  /** The backend that stands in the way, where it is another one. */
  readonly other?: { readonly file: string; readonly path: string };
}

/** The answer to `POST /v1/topology/plan`: what would come of a topology. Nothing was changed. */
export interface RouterTopologyPlan {
  /** Of the documents that were sent, as `topologyVersion` counts it. */
  readonly version: string;
  /** Not empty: the text is wrong, and nothing else is known. */
  readonly check: readonly RouterTopologyProblem[];
  readonly changes: readonly RouterTopologyChange[];
  /** Not empty: it cannot be applied as long as these keys are where they are. */
  readonly moves: readonly RouterTopologyMove[];
  /** Not empty: it cannot be applied; sentences. */
  readonly problems: readonly string[];
}

export interface RouterBackendReport {
  readonly name: string;
  /** Without credentials. */
  readonly endpoint: string;
  readonly isReady: boolean;
  /** Why it is not ready; empty when it is. */
  readonly problem: string;
  /** Live keys; null: not known, since it cannot be asked. */
  readonly keys: number | null;
  /** What the database takes, indexes and history included; null: not known. */
  readonly bytes: number | null;
  /** The revision from which on it holds nothing of the present; it still answers for what was before. Absent: it is in force. */
  readonly retiredAt?: string;
}

/** What is wrong with what the source holds; the topology in force stays as it is. */
export interface RouterTopologyFailure {
  /** RFC 3339: since when. */
  readonly time: string;
  readonly message: string;
  /** Of the documents that are not in force; null: the source could not be read. */
  readonly version: string | null;
  /** Not empty: it is held back by these keys alone, and is tried again. */
  readonly moves: readonly RouterTopologyMove[];
}

/** The answer to `GET /v1/topology`. */
export interface RouterTopologyState {
  /** Of what is in force, as `topologyVersion` counts the documents that it was read from. */
  readonly version: string;
  /** The configured source without credentials; null: none is, and every key is in the default backend. */
  readonly source: string | null;
  /** Of what the source held when it was read last; null: it has not been read yet. */
  readonly sourceVersion: string | null;
  /** RFC 3339. */
  readonly inForceSince: string;
  /** YAML of what is in force, without credentials. */
  readonly document: string;
  /** Absent: what the source held when it was read last is in force. */
  readonly error?: RouterTopologyFailure;
  /** In rule order, the default one last; then those that only answer for the past. */
  readonly backends: readonly RouterBackendReport[];
}

/** A database and the rule that leads to it. */
export interface RouterPlacement {
  readonly backend: string;
  /** From 0; null: no rule, the default. */
  readonly ruleIndex: number | null;
  /** Of the rule in its document; null: no rule, or not known. */
  readonly line: number | null;
  /** In words. */
  readonly matcher: string;
  /** Without credentials. */
  readonly endpoint: string;
}

/** The answer to `GET /v1/topology/explain?subject=…`. */
export interface RouterExplanation {
  readonly subject: string;
  /** `key`: one single key. `range`: every key below `path`. */
  readonly kind: 'key' | 'range';
  readonly path: string;
  /** In rule order. */
  readonly placements: readonly RouterPlacement[];
  /** For a key: all databases of its resource. */
  readonly resourcePlacements: readonly RouterPlacement[];
}

/** The body of `POST /v1/topology/abandon`. */
export interface RouterAbandonRequest {
  readonly backend: string;
  /** How many keys are given up: the number that `GET /v1/topology` tells. Null: they cannot be counted, since the database is lost. */
  readonly confirm: number | null;
}

export interface RouterAbandonResult {
  readonly backend: string;
  /** Keys that were given up, as far as known. */
  readonly keys: number;
}

/** The body of every answer that is not 200. */
export interface RouterAdminErrorBody {
  /** A sentence. */
  readonly message: string;
}

import { parseSecretReference, SECRET_SCHEME } from '@harikube/crds';
import {
  type BackendPlace,
  type Explanation,
  parseTopologyDocuments,
  type Placement,
  type Topology,
  TopologyError,
} from '@harikube/datasources';
import { type ConfigObject, type ConfigProblem, configsInOrder, isRecord, problemAt, targetOf } from './config-object.js';

/** The rules of the TopologyConfigs of one target. */
export interface TargetTopology {
  readonly target: string;
  /** In the order of their rules. */
  readonly configs: readonly ConfigObject[];
  readonly topology: Topology;
}

/** Where an endpoint is a reference to a Secret, which only the cluster can follow, this stands in its place. */
const UNFOLLOWED = 'sqlite:///secret-reference/';

/** Puts the rules of each target together, as the operator does. Problems speak of the fields of the objects. */
export function mergeConfigs(configs: readonly ConfigObject[]): {
  readonly topologies: readonly TargetTopology[];
  readonly problems: readonly ConfigProblem[];
} {
  const problems: ConfigProblem[] = [];
  const topologies: TargetTopology[] = [];
  for (const [target, members] of Map.groupBy(configs, targetOf)) {
    const ordered = configsInOrder(members);
    try {
      topologies.push({ target, configs: ordered, topology: parsed(ordered) });
    } catch (error) {
      if (!(error instanceof TopologyError)) throw error;
      for (const { file, path, message } of error.problems) {
        const config = ordered[Number(file)];
        if (config !== undefined) problems.push(problemAt(config, path === '' ? 'spec' : `spec.${path}`, followed(message)));
      }
    }
  }
  const references = configs.flatMap((config) => brokenReferences(config));
  return { topologies, problems: [...references, ...problems] };
}

/** Where a key or a resource lives by the rules of a target; throws `UnknownSubjectError`. */
export function explainTarget({ topology, configs }: TargetTopology, subject: string): Explanation {
  const explanation = topology.explain(subject);
  const shownPlacement = (placement: Placement): Placement => {
    const { config, index } = originOf(configs, placement) ?? {};
    const line = config?.place(`spec.backends[${index ?? 0}]`)?.line ?? null;
    return { ...placement, line, endpoint: followed(placement.endpoint) };
  };
  return {
    ...explanation,
    placements: explanation.placements.map(shownPlacement),
    resourcePlacements: explanation.resourcePlacements.map(shownPlacement),
  };
}

/** The object that a rule is of, and its place among the object's; undefined for what no rule places. */
export function originOf(
  configs: readonly ConfigObject[],
  { ruleIndex }: Pick<Placement, 'ruleIndex'>,
): { readonly config: ConfigObject; readonly index: number } | undefined {
  if (ruleIndex === null) return undefined;
  let first = 0;
  for (const config of configs) {
    const count = backendsOf(config).length;
    if (ruleIndex < first + count) return { config, index: ruleIndex - first };
    first += count;
  }
  return undefined;
}

/** Backends whose endpoint only the cluster knows, as `users (secret://harikube/databases/users)`. */
export function unfollowedEndpoints(configs: readonly ConfigObject[]): string[] {
  return configs.flatMap((config) =>
    backendsOf(config).flatMap((backend) => {
      const { name, endpoint } = isRecord(backend) ? backend : {};
      return typeof endpoint === 'string' && endpoint.startsWith(SECRET_SCHEME) ? [`${String(name)} (${endpoint})`] : [];
    }),
  );
}

function parsed(ordered: readonly ConfigObject[]): Topology {
  const nameBackend = ({ file, path, name, isSameDocument }: BackendPlace): string => {
    const config = ordered[Number(file)];
    const line = config?.place(`spec.${path}`)?.line;
    const place = [...(isSameDocument ? [] : [config?.file ?? '']), ...(line === undefined ? [] : [`line ${line}`])].join(', ');
    return `spec.${path}${name === undefined ? '' : ` "${name}"`}${place === '' ? '' : ` (${place})`}`;
  };
  return parseTopologyDocuments(
    ordered.map((config, index) => ({ name: documentName(index), text: documentText(config) })),
    { nameBackend },
  );
}

/** Sorts as the numbers do. */
function documentName(index: number): string {
  return String(index).padStart(6, '0');
}

function documentText({ plain }: ConfigObject): string {
  const { backends = null } = isRecord(plain['spec']) ? plain['spec'] : {};
  return JSON.stringify({ backends: Array.isArray(backends) ? backends.map(forRouter) : backends });
}

/** A backend as the router reads it: what the API server takes for nothing is left out. */
function forRouter(backend: unknown): unknown {
  const given = withoutNulls(backend);
  if (!isRecord(given)) return given;
  const { endpoint, customresource } = given;
  if (isRecord(customresource) && customresource['kind'] === '') delete customresource['kind'];
  if (typeof endpoint === 'string' && endpoint.startsWith(SECRET_SCHEME)) {
    given['endpoint'] = UNFOLLOWED + endpoint.slice(SECRET_SCHEME.length);
    // Whether it has a meaning depends on the endpoint.
    delete given['backendTLS'];
  }
  return given;
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([key, entry]) => (entry === null ? [] : [[key, withoutNulls(entry)]])));
}

function followed(text: string): string {
  return text.replaceAll(UNFOLLOWED, SECRET_SCHEME);
}

function brokenReferences(config: ConfigObject): ConfigProblem[] {
  return backendsOf(config).flatMap((backend, index) => {
    if (!isRecord(backend)) return [];
    const { endpoint, backendTLS } = backend;
    const tls = isRecord(backendTLS) ? backendTLS : {};
    const fields = [['endpoint', endpoint], ...['caFile', 'certFile', 'keyFile'].map((name) => [`backendTLS.${name}`, tls[name]])] as const;
    return fields.flatMap(([name, value]) =>
      typeof value === 'string' && value.startsWith(SECRET_SCHEME) && parseSecretReference(value) === null
        ? [problemAt(config, `spec.backends[${index}].${String(name)}`, 'a reference is written secret://NAMESPACE/NAME/KEY')]
        : [],
    );
  });
}

function backendsOf({ plain }: ConfigObject): readonly unknown[] {
  const { backends } = isRecord(plain['spec']) ? plain['spec'] : {};
  return Array.isArray(backends) ? backends : [];
}

import { inDeployOrder, InvalidDeployOrderError, parseSecretReference, pinOf, SECRET_SCHEME, type TopologyConfig } from '@harikube/crds';
import { type BackendPlace, parseTopology, parseTopologyDocuments, TopologyError, type TopologyProblem } from '@harikube/datasources';
import { configDocument } from '../config-document.js';

/** What is wrong with an object, and where in it. */
export interface ConfigProblem {
  /** Such as `spec.backends[2].customresource.group`. */
  readonly field: string;
  /** A sentence with the value and the way out; credentials are redacted. */
  readonly message: string;
}

/** `namespace/name`. */
export function keyOf({ metadata }: Pick<TopologyConfig, 'metadata'>): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

/** Stands for a database that only a Secret names: an endpoint like no other, which is put back into what is said of it. */
const UNFOLLOWED = 'sqlite:///\u0001';
/** Stands for whatever TLS material a Secret holds. */
const SOME_PEM = Buffer.from('-----BEGIN CERTIFICATE-----\n');
/** Of the texts that are put together, the names are their places. */
const PLACE_DIGITS = 6;

/**
 * What can be known of an object from its text and from those of the others of its target, in their deploy order: what is wrong with it alone, and
 * what it and another one do to each other, whichever of them comes first. What is wrong with the others alone is not its affair.
 */
export function configProblems(config: TopologyConfig, others: readonly TopologyConfig[]): ConfigProblem[] {
  const ordered = inOrder([...others, config]);
  const own = ordered.indexOf(config);
  const documents = ordered.map((each, place) => ({ name: documentName(place), text: textOf(each) }));
  const configOf = (file: string): TopologyConfig | undefined => ordered[Number(file)];
  const nameBackend = ({ file, path, name, isSameDocument }: BackendPlace): string => {
    const quoted = name === undefined ? '' : ` "${name}"`;
    const other = configOf(file);
    return `spec.${path}${quoted}${isSameDocument || other === undefined ? '' : ` of TopologyConfig ${keyOf(other)}`}`;
  };
  return problemsOf(() => parseTopologyDocuments(documents, { nameBackend })).flatMap((problem): ConfigProblem[] => {
    const { file, path, message, other } = problem;
    if (file === documentName(own)) return [{ field: fieldOf(path), message: followed(message) + wayOut(problem) }];
    const later = configOf(file);
    if (other?.file !== documentName(own) || later === undefined) return [];
    return [{ field: `spec.${other.path}${memberOf(path)}`, message: followed(messageToEarlier(problem, later)) }];
  });
}

/** Settings that say nothing to the database behind them. */
export function configWarnings(config: TopologyConfig): string[] {
  const topology = parseTopology(textOf(config), '');
  return topology.withoutEffect().map(({ name, setting }) => {
    const index = topology.rules.findIndex((rule) => rule.name === name);
    return `spec.backends[${index}].${setting}: of no effect on this database`;
  });
}

function inOrder(configs: readonly TopologyConfig[]): TopologyConfig[] {
  const items = configs.map((config) => ({
    config,
    pin: pinOrNone(config),
    // One that is only about to be made is the youngest.
    created: config.metadata.creationTimestamp ?? '9',
    key: keyOf(config),
  }));
  return inDeployOrder(items).map(({ item }) => item.config);
}

function pinOrNone(config: TopologyConfig): number | null {
  try {
    return pinOf(config);
  } catch (error) {
    if (error instanceof InvalidDeployOrderError) return null;
    throw error;
  }
}

function documentName(place: number): string {
  return String(place).padStart(PLACE_DIGITS, '0');
}

function textOf(config: TopologyConfig): string {
  const backends = config.spec.backends.map((backend) => {
    if (parseSecretReference(backend.endpoint) === null) return backend;
    // Whether TLS has a meaning depends on the endpoint.
    const { backendTLS: _unknown, ...rest } = backend;
    return { ...rest, endpoint: UNFOLLOWED + backend.endpoint.slice(SECRET_SCHEME.length) };
  });
  return configDocument({ spec: { ...config.spec, backends } }, () => SOME_PEM).text;
}

function problemsOf(parse: () => unknown): readonly TopologyProblem[] {
  try {
    parse();
    return [];
  } catch (error) {
    if (error instanceof TopologyError) return error.problems;
    throw error;
  }
}

function followed(message: string): string {
  return message.replaceAll(UNFOLLOWED, SECRET_SCHEME);
}

function fieldOf(path: string): string {
  return path === '' ? 'spec' : `spec.${path}`;
}

/** `.endpoint` of `backends[2].endpoint`. */
function memberOf(path: string): string {
  return path.replace(/^backends\[\d+\]/, '');
}

function wayOut({ path, message, other }: TopologyProblem): string {
  if (other === undefined) return '';
  switch (memberOf(path)) {
    case '.name':
      return '; choose another name';
    case '.endpoint':
      return '; give each backend a database of its own';
    default:
      return message.includes('can never match') ? '; put it before that one, or leave it out' : '; leave one of them out';
  }
}

/** What a problem of a later object is to the one that comes first and causes it. */
function messageToEarlier({ path, message }: TopologyProblem, later: TopologyConfig): string {
  const there = `spec.${path} of TopologyConfig ${keyOf(later)}`;
  switch (memberOf(path)) {
    case '.name':
      return `the name is used twice: also by ${there}; choose another name`;
    case '.endpoint':
      return `the endpoint is the same database as ${there}; give each backend a database of its own`;
    default:
      return message.includes('can never match')
        ? `this rule takes every key of ${there}, which comes later and could never match; narrow it, or put it behind that one`
        : `this rule takes the same keys as ${there}; leave one of them out`;
  }
}

import { DEPLOY_ORDER_ANNOTATION, TOPOLOGY_GROUP, TopologyConfig, unknownFields, validateSpec, VERSION } from '@harikube/crds';
import { didYouMean } from '@harikube/platform';
import { isMap, isNode, LineCounter, parseAllDocuments, type Document } from 'yaml';
import { type ConfigObject, type ConfigProblem, isRecord, metadataOf, pinIn, type Place, problemAt } from './config-object.js';

/** What a text of Kubernetes manifests holds. */
export interface Manifests {
  readonly configs: readonly ConfigObject[];
  /** Objects of other kinds, as in `Namespace harikube`. */
  readonly others: readonly string[];
  readonly problems: readonly ConfigProblem[];
}

const API_VERSION = `${TOPOLOGY_GROUP}/${VERSION}`;
const KIND = 'TopologyConfig';
/** Longest name: with its place before it, it is a key of a Secret. */
const MAX_NAME = 230;
const NAME = /^[a-z0-9]+(?:[-.]+[a-z0-9]+)*$/;

/** True for a text of Kubernetes objects, which a topology is not. */
export function isManifest(text: string): boolean {
  return documentsIn(text, new LineCounter()).some(
    ({ contents }) => isMap(contents) && ['apiVersion', 'kind'].some((key) => contents.has(key)),
  );
}

/** The TopologyConfigs of a text of several documents and lists, and what their schema says against them. */
export function readManifests(text: string, file: string): Manifests {
  const lines = new LineCounter();
  const configs: ConfigObject[] = [];
  const others: string[] = [];
  const problems: ConfigProblem[] = [];
  for (const document of documentsIn(text, lines)) {
    const broken = document.errors.map(({ pos: [offset], message }): ConfigProblem => {
      const { line, col } = lines.linePos(offset);
      return { file, line, column: col, path: '', message };
    });
    problems.push(...broken);
    if (broken.length > 0) continue;
    for (const { plain, keys } of objectsIn(document.toJS() as unknown)) {
      const object: ConfigObject = { plain, file, place: (path) => placeIn(document, lines, [...keys, ...segmentsOf(path)]) };
      if (plain['kind'] === KIND) {
        configs.push(object);
        problems.push(...schemaProblems(object));
      } else others.push([plain['kind'], metadataOf(object).name].filter((part) => typeof part === 'string' && part !== '').join(' '));
    }
  }
  return { configs, others, problems: [...problems, ...repetitions(configs)] };
}

function documentsIn(text: string, lineCounter: LineCounter): Document[] {
  const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false });
  return 'empty' in documents ? [] : documents.filter(({ contents, errors }) => contents !== null || errors.length > 0);
}

function objectsIn(value: unknown): { readonly plain: Record<string, unknown>; readonly keys: readonly (string | number)[] }[] {
  if (!isRecord(value)) return [];
  const { kind, items } = value;
  if (typeof kind !== 'string' || !kind.endsWith('List') || !Array.isArray(items)) return [{ plain: value, keys: [] }];
  return items.flatMap((item: unknown, index) => (isRecord(item) ? [{ plain: item, keys: ['items', index] }] : []));
}

function schemaProblems(object: ConfigObject): ConfigProblem[] {
  const { plain } = object;
  const { name } = metadataOf(object);
  const problems: ConfigProblem[] = [];
  const report = (path: string, message: string): void => void problems.push(problemAt(object, path, message));
  if (plain['apiVersion'] !== API_VERSION) report('apiVersion', `is ${JSON.stringify(plain['apiVersion'] ?? '')}; write ${API_VERSION}`);
  if (name === '') report('metadata.name', 'is missing');
  else if (!NAME.test(name)) report('metadata.name', `"${name}" is no name: lower-case letters, digits, '-' and '.'`);
  else if (name.length > MAX_NAME) report('metadata.name', `is longer than ${MAX_NAME} characters`);
  const { problem } = pinIn(object);
  if (problem !== '') report(`metadata.annotations[${DEPLOY_ORDER_ANNOTATION}]`, problem);
  for (const { field, message } of validateSpec(TopologyConfig, plain)) report(field, message);
  for (const path of unknownFields(TopologyConfig, plain))
    if (!isJudgedElsewhere(path)) report(path, `there is no such field${nearestField(path)}`);
  return problems;
}

function nearestField(path: string): string {
  const [field = '', ...more] = path.replace(/^spec\./, '').split('.');
  if (more.length > 0) return '';
  return didYouMean(field, path.startsWith('spec.') ? ['targetSecret', 'backends'] : ['metadata', 'spec']);
}

/** The rules are read as a topology, which knows them better; the status is not for people to write. */
function isJudgedElsewhere(path: string): boolean {
  return path.startsWith('spec.backends[') || path.startsWith('status');
}

function repetitions(configs: readonly ConfigObject[]): ConfigProblem[] {
  const seen = new Map<string, ConfigObject>();
  return configs.flatMap((config) => {
    const { name, namespace } = metadataOf(config);
    const known = seen.get(`${namespace}/${name}`);
    seen.set(`${namespace}/${name}`, known ?? config);
    if (known === undefined || name === '') return [];
    return [problemAt(config, 'metadata.name', `"${name}" is there twice: also in line ${known.place('metadata.name')?.line ?? 1}`)];
  });
}

/** `metadata.annotations[a.b/c]`, `spec.backends[2].name`. */
function segmentsOf(path: string): (string | number)[] {
  return [...path.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)].map(([whole, inBrackets]) =>
    inBrackets === undefined ? whole : /^\d+$/.test(inBrackets) ? Number(inBrackets) : inBrackets,
  );
}

/** Of what is there along the keys, as far as it goes. */
function placeIn(document: Document, lines: LineCounter, keys: readonly (string | number)[]): Place | null {
  for (let length = keys.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(keys.slice(0, length), true);
    if (isNode(node) && node.range !== null && node.range !== undefined) {
      const { line, col } = lines.linePos(node.range[0]);
      return { line, column: col };
    }
  }
  return null;
}

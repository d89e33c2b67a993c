import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { didYouMean, parseGoDuration } from '@harikube/platform';
import { RE2JS } from 're2js';
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';
import { type Endpoint, EndpointError, endpointIdentity, parseEndpoint, redactEndpoint } from './endpoint.js';
import { compileRule, type KeyRule, type Matcher, shadows } from './key-rule.js';
import {
  isBuiltInGroup,
  isBuiltInGroupSegment,
  isClusterScoped,
  normalizeEtcdPrefix,
  resourcePath,
  storagePathOf,
  VERSION_PATTERN,
} from './resource-key.js';
import {
  type BackendTls,
  type CompactionPace,
  type ConnectionPool,
  MAIN,
  Topology,
  type TopologyOptions,
  type TopologyRule,
} from './topology.js';
import { TopologyError, type TopologyProblem } from './topology-error.js';
import { inNameOrder, type TopologyDocument } from './topology-version.js';

export interface ParseTopologyOptions extends TopologyOptions {
  /** What relative paths of databases are relative to; the working directory unless told. */
  readonly directory?: string;
  /** What the files of `backendTLS` are relative to; `directory` unless told. */
  readonly tlsDirectory?: string;
  /** How messages name another backend: by its document and line unless told. */
  readonly nameBackend?: (place: BackendPlace) => string;
}

/** Where a backend stands that a message about another one names. */
export interface BackendPlace {
  readonly file: string;
  readonly line: number;
  /** Such as `backends[2]`. */
  readonly path: string;
  /** Undefined: it has none that can be read. */
  readonly name: string | undefined;
  /** Whether the one that the message is about stands in the same document. */
  readonly isSameDocument: boolean;
}

const MATCHERS = ['customresource', 'namespace', 'prefix', 'regexp'] as const;

const BACKEND_KEYS = [
  'name',
  'endpoint',
  ...MATCHERS,
  'backendTLS',
  'connectionPool',
  'compactInterval',
  'compactIntervalJitter',
  'compactTimeout',
  'compactMinRetain',
  'compactBatchSize',
  'disableStorageLevelFiltering',
];

const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_RULE = 'use lower-case letters, digits and "-", at most 63';

/**
 * Reads a topology in the reference's YAML. `file` names the source in messages. Throws `TopologyError` with every problem of
 * the document, so that one round of editing suffices.
 */
export function parseTopology(text: string, file: string, options: ParseTopologyOptions = {}): Topology {
  return parseTopologyDocuments([{ name: file, text }], options);
}

/**
 * Reads the topology that several documents make together: their rules in the order of the documents' names. Throws
 * `TopologyError` with every problem of every document; what two documents do to each other is a problem of the later one.
 */
export function parseTopologyDocuments(documents: readonly TopologyDocument[], options: ParseTopologyOptions = {}): Topology {
  const parsers = inNameOrder(documents).map(({ name, text }) => new DocumentParser(text, name, options));
  const backends = parsers.flatMap((parser) => parser.parse());
  checkTogether(backends, options);
  const problems = parsers.flatMap((parser) => parser.problems);
  if (problems.length > 0) throw new TopologyError(problems);
  return new Topology(
    backends.map(ruleOf).filter((rule) => rule !== undefined),
    options,
  );
}

/** A value of the document and where it stands. */
interface Field {
  readonly node: Node;
  readonly path: string;
}

type Fields = ReadonlyMap<string, Field>;

interface ParsedBackend {
  readonly document: DocumentParser;
  readonly at: Field;
  readonly name: string | undefined;
  readonly dataSourceName: string | undefined;
  readonly endpoint: Endpoint | undefined;
  readonly endpointAt: Field | undefined;
  readonly matcher: Matcher | undefined;
  readonly matcherAt: Field;
  readonly keyRule: KeyRule | undefined;
  readonly tls: BackendTls | null;
  readonly pool: ConnectionPool;
  readonly compaction: CompactionPace;
  readonly disableStorageLevelFiltering: boolean;
}

/** Reads one document, and keeps what is wrong with it. */
class DocumentParser {
  readonly #lines = new LineCounter();
  readonly #problems: TopologyProblem[] = [];
  readonly #document;
  readonly #etcdPrefix: string;

  constructor(
    text: string,
    readonly file: string,
    private readonly options: ParseTopologyOptions,
  ) {
    this.#etcdPrefix = normalizeEtcdPrefix(options.etcdPrefix ?? '/registry');
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
  }

  /** The backends of the document, as far as they can be read. */
  parse(): ParsedBackend[] {
    for (const error of [...this.#document.errors, ...this.#document.warnings]) {
      const message = error.code === 'MULTIPLE_DOCS' ? 'a second document begins here; a topology is one' : error.message;
      this.#report(error.pos[0], '', message);
    }
    const isReadable = this.#document.errors.every((error) => error.code === 'DUPLICATE_KEY');
    return isReadable ? this.#backends() : [];
  }

  /** From top to bottom. */
  get problems(): TopologyProblem[] {
    return this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  }

  #backends(): ParsedBackend[] {
    const root = this.#document.contents;
    if (root === null || (isScalar(root) && root.value === null)) {
      this.#report(0, '', 'the topology is empty; write "backends: []" for one without rules');
      return [];
    }
    const fields = this.#map({ node: root, path: '' }, ['backends']);
    const backends = fields?.get('backends');
    if (backends === undefined) {
      if (fields !== undefined) {
        this.at({ node: root, path: '' }, '"backends" is missing');
      }
      return [];
    }
    return (this.#list(backends) ?? []).map((item) => this.#backend(item));
  }

  #backend(at: Field): ParsedBackend {
    const fields = this.#map(at, BACKEND_KEYS) ?? new Map<string, Field>();
    const isMapping = isMap(at.node);
    const matcherAt = MATCHERS.map((type) => fields.get(type)).find((field) => field !== undefined) ?? at;
    const matcher = isMapping ? this.#matcher(at, fields) : undefined;
    const endpointAt = fields.get('endpoint');
    const name = isMapping ? this.#name(at, fields) : undefined;
    const { dataSourceName, endpoint } = isMapping ? this.#endpoint(at, fields) : { dataSourceName: undefined, endpoint: undefined };
    const keyRule = matcher === undefined ? undefined : compileRule(matcher, this.#etcdPrefix);
    if (keyRule?.extent.length === 0) {
      this.at(matcherAt, 'this rule can never match: "prefix" and "key" begin with different texts');
    }
    return {
      document: this,
      at,
      name,
      dataSourceName,
      endpoint,
      endpointAt,
      matcher,
      matcherAt,
      keyRule: keyRule?.extent.length === 0 ? undefined : keyRule,
      tls: this.#tls(fields.get('backendTLS'), endpoint),
      pool: this.#pool(fields.get('connectionPool')),
      compaction: this.#compaction(fields),
      disableStorageLevelFiltering: this.#boolean(fields.get('disableStorageLevelFiltering')) ?? false,
    };
  }

  #name(at: Field, fields: Fields): string | undefined {
    const name = this.#required(at, fields, 'name');
    const field = fields.get('name');
    if (name === undefined || field === undefined) {
      return undefined;
    }
    if (!LABEL.test(name)) {
      this.at(field, `invalid name "${name}": ${LABEL_RULE}`);
      return undefined;
    }
    if (name === MAIN) {
      this.at(field, `the name "${MAIN}" is reserved for the default backend; choose another`);
      return undefined;
    }
    return name;
  }

  #endpoint(at: Field, fields: Fields): { dataSourceName: string | undefined; endpoint: Endpoint | undefined } {
    const dataSourceName = this.#required(at, fields, 'endpoint');
    const field = fields.get('endpoint');
    if (dataSourceName === undefined || field === undefined) {
      return { dataSourceName: undefined, endpoint: undefined };
    }
    try {
      return { dataSourceName, endpoint: parseEndpoint(dataSourceName, this.options) };
    } catch (error) {
      if (!(error instanceof EndpointError)) {
        throw error;
      }
      for (const reason of error.reasons) {
        this.at(field, reason);
      }
      return { dataSourceName, endpoint: undefined };
    }
  }

  #matcher(at: Field, fields: Fields): Matcher | undefined {
    const present = MATCHERS.filter((type) => fields.has(type));
    if (present.length === 0) {
      this.at(at, `no matcher: give exactly one of ${MATCHERS.join(', ')}`);
      return undefined;
    }
    const matchers = present.map((type) => this.#oneMatcher(type, fields.get(type)));
    if (present.length > 1) {
      this.at(fields.get(present[1] ?? '') ?? at, `${present.length} matchers (${present.join(', ')}): give exactly one`);
      return undefined;
    }
    return matchers[0];
  }

  #oneMatcher(type: (typeof MATCHERS)[number], field: Field | undefined): Matcher | undefined {
    if (field === undefined) {
      return undefined;
    }
    switch (type) {
      case 'customresource':
        return this.#customResource(field);
      case 'namespace':
        return this.#namespace(field);
      case 'prefix':
        return this.#prefix(field);
      case 'regexp':
        return this.#regexp(field);
    }
  }

  #customResource(at: Field): Matcher | undefined {
    const fields = this.#map(at, ['group', 'kind']);
    if (fields === undefined) {
      return undefined;
    }
    const written = this.#required(at, fields, 'group');
    const kind = this.#text(fields.get('kind'));
    const kindAt = fields.get('kind');
    const groupAt = fields.get('group');
    let isValid = kindAt === undefined || kind !== undefined;
    if (kind !== undefined && kindAt !== undefined && !LABEL.test(kind)) {
      this.at(kindAt, `invalid kind "${kind}": use the plural in lower case, such as "users"`);
      isValid = false;
    }
    if (written === undefined || groupAt === undefined) {
      return undefined;
    }
    const slash = written.indexOf('/');
    const group = slash < 0 ? written : written.slice(0, slash);
    if (slash >= 0 && !VERSION_PATTERN.test(written.slice(slash + 1))) {
      this.at(groupAt, `invalid group "${written}": what follows "/" must be a version such as v1 (it is ignored)`);
      return undefined;
    }
    if (!SUBDOMAIN.test(group)) {
      this.at(groupAt, `invalid group "${written}": use a lower-case domain name such as "stable.example.com"`);
      return undefined;
    }
    if (isBuiltInGroup(group)) {
      this.at(
        groupAt,
        `this rule can never match: kinds of the built-in group "${group}" are stored without their group; use prefix: {prefix: ${kind ?? 'KIND'}}`,
      );
      return undefined;
    }
    return isValid ? { type: 'customresource', group, ...(kind === undefined ? {} : { kind }) } : undefined;
  }

  #namespace(at: Field): Matcher | undefined {
    const fields = this.#map(at, ['namespace', 'kinds']);
    if (fields === undefined) {
      return undefined;
    }
    const namespace = this.#required(at, fields, 'namespace');
    const namespaceAt = fields.get('namespace');
    let isValid = true;
    if (namespace !== undefined && namespaceAt !== undefined && !LABEL.test(namespace)) {
      this.at(namespaceAt, `invalid namespace "${namespace}": ${LABEL_RULE}`);
      isValid = false;
    }
    const kinds = new Map<string, string>();
    const kindsAt = fields.get('kinds');
    const items = kindsAt === undefined ? [] : this.#list(kindsAt);
    for (const item of items ?? []) {
      const kind = this.#text(item);
      if (kind === undefined) {
        isValid = false;
      } else if (!SUBDOMAIN.test(kind)) {
        this.at(item, `invalid kind "${kind}": use the plural in lower case, such as "pods" or "users.product.example.com"`);
        isValid = false;
      } else if (isClusterScoped(resourcePath(kind))) {
        this.at(item, `kind "${kind}" can never match: its objects live in no namespace`);
        isValid = false;
      } else if (kinds.has(resourcePath(kind))) {
        this.at(item, `kind "${kind}" is listed twice`);
        isValid = false;
      } else {
        kinds.set(resourcePath(kind), kind);
      }
    }
    if (namespace === undefined || items === undefined || !isValid) {
      return undefined;
    }
    return { type: 'namespace', namespace, kinds: [...kinds.values()].toSorted() };
  }

  #prefix(at: Field): Matcher | undefined {
    const fields = this.#map(at, ['prefix']);
    if (fields === undefined) {
      return undefined;
    }
    const prefix = this.#required(at, fields, 'prefix');
    const prefixAt = fields.get('prefix');
    if (prefix === undefined || prefixAt === undefined) {
      return undefined;
    }
    if (prefix.startsWith('/')) {
      return { type: 'prefix', prefix };
    }
    const path = prefix.replace(/\/$/, '');
    const segments = path.split('/');
    if (!segments.every((segment) => SUBDOMAIN.test(segment))) {
      this.at(prefixAt, `invalid prefix "${prefix}": use a kind's plural in lower case, such as "pods", or a key that begins with "/"`);
      return undefined;
    }
    const [first = '', second] = segments;
    if (isBuiltInGroupSegment(first)) {
      this.at(
        prefixAt,
        `this rule can never match: kinds of the built-in group "${first}" are stored without their group; use prefix: {prefix: ${second ?? 'KIND'}}`,
      );
      return undefined;
    }
    return { type: 'prefix', prefix: storagePathOf(path) };
  }

  #regexp(at: Field): Matcher | undefined {
    const fields = this.#map(at, ['prefix', 'key']);
    if (fields === undefined) {
      return undefined;
    }
    if (!fields.has('prefix') && !fields.has('key')) {
      this.at(at, '"key" is missing');
      return undefined;
    }
    const prefix = this.#expression(fields.get('prefix'));
    const key = this.#expression(fields.get('key'));
    if ((fields.has('prefix') && prefix === undefined) || (fields.has('key') && key === undefined)) {
      return undefined;
    }
    return { type: 'regexp', ...(prefix === undefined ? {} : { prefix }), ...(key === undefined ? {} : { key }) };
  }

  #expression(field: Field | undefined): string | undefined {
    const text = this.#text(field);
    if (text === undefined || field === undefined) {
      return undefined;
    }
    try {
      RE2JS.compile(text);
      return text;
    } catch (error) {
      const reason = error instanceof Error ? error.message.replace('error parsing regexp: ', '') : String(error);
      this.at(field, `invalid expression "${text}": ${reason} (the syntax is RE2)`);
      return undefined;
    }
  }

  #tls(at: Field | undefined, endpoint: Endpoint | undefined): BackendTls | null {
    const fields = at === undefined ? undefined : this.#map(at, ['caFile', 'certFile', 'keyFile', 'skipVerify']);
    if (at === undefined || fields === undefined) {
      return null;
    }
    const file = (name: string): string | null => {
      const text = this.#text(fields.get(name));
      return text === undefined ? null : resolve(this.options.tlsDirectory ?? this.options.directory ?? process.cwd(), text);
    };
    if (fields.has('certFile') !== fields.has('keyFile')) {
      this.at(at, 'certFile and keyFile belong together: give both or none');
    }
    if (endpoint?.scheme === 'sqlite' && fields.size > 0) {
      this.at(at, 'backendTLS has no meaning for a sqlite endpoint; leave it out');
    }
    return {
      caFile: file('caFile'),
      certFile: file('certFile'),
      keyFile: file('keyFile'),
      skipVerify: this.#boolean(fields.get('skipVerify')) ?? false,
    };
  }

  #pool(at: Field | undefined): ConnectionPool {
    const fields = at === undefined ? undefined : this.#map(at, ['maxIdle', 'maxOpen', 'maxLifeTime', 'maxIdleLifeTime']);
    return present({
      maxIdle: this.#integer(fields?.get('maxIdle'), 0, 100_000),
      maxOpen: this.#integer(fields?.get('maxOpen'), 0, 100_000),
      maxLifeTimeMs: this.#duration(fields?.get('maxLifeTime')),
      maxIdleLifeTimeMs: this.#duration(fields?.get('maxIdleLifeTime')),
    });
  }

  #compaction(fields: Fields): CompactionPace {
    return present({
      intervalMs: this.#duration(fields.get('compactInterval')),
      intervalJitterPercent: this.#integer(fields.get('compactIntervalJitter'), 0, 1000),
      timeoutMs: this.#duration(fields.get('compactTimeout')),
      minRetain: this.#integer(fields.get('compactMinRetain'), 0, Number.MAX_SAFE_INTEGER),
      batchSize: this.#integer(fields.get('compactBatchSize'), 1, 1_000_000),
    });
  }

  /** A backend as the problems of `from` name it. */
  where(at: Field, from: DocumentParser): string {
    const name = this.valueOf(at, 'name');
    const { nameBackend = placeText } = this.options;
    return nameBackend({
      file: this.file,
      line: this.line(at),
      path: at.path,
      name: name !== undefined && isScalar(name.node) ? String(name.node.value) : undefined,
      isSameDocument: from === this,
    });
  }

  line(at: Field): number {
    return this.#lines.linePos(at.node.range?.[0] ?? 0).line;
  }

  valueOf(at: Field, key: string): Field | undefined {
    const node = isMap(at.node) ? (at.node as YAMLMap<unknown, Node>).get(key, true) : undefined;
    return node === undefined ? undefined : { node, path: `${at.path}.${key}` };
  }

  #map(at: Field, known: readonly string[]): Fields | undefined {
    if (!isMap(at.node)) {
      this.at(at, `must be a mapping with ${known.join(', ')}, is ${describe(at.node)}`);
      return undefined;
    }
    const fields = new Map<string, Field>();
    for (const { key, value } of at.node.items) {
      const keyNode = key as Node;
      const name = isScalar(keyNode) ? String(keyNode.value) : undefined;
      if (name === undefined || !known.includes(name)) {
        const shown = name ?? 'a key that is not a text';
        this.at({ node: keyNode, path: at.path }, `unknown key "${shown}"${didYouMean(shown, known)}`);
        continue;
      }
      const path = at.path === '' ? name : `${at.path}.${name}`;
      const node = this.#resolve((value ?? keyNode) as Node);
      if (value === null || node === undefined || (isScalar(node) && node.value === null)) {
        this.at({ node: keyNode, path }, `"${name}" has no value`);
      } else {
        fields.set(name, { node, path });
      }
    }
    return fields;
  }

  #list(at: Field): Field[] | undefined {
    if (!isSeq(at.node)) {
      this.at(at, `must be a list, is ${describe(at.node)}`);
      return undefined;
    }
    return at.node.items.map((item, index) => ({ node: this.#resolve(item as Node) ?? (item as Node), path: `${at.path}[${index}]` }));
  }

  #resolve(node: Node): Node | undefined {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }

  #required(at: Field, fields: Fields, name: string): string | undefined {
    const field = fields.get(name);
    if (field === undefined) {
      const isWritten = isMap(at.node) && at.node.has(name);
      if (!isWritten) {
        this.at(at, `"${name}" is missing`);
      }
      return undefined;
    }
    return this.#text(field);
  }

  #text(field: Field | undefined): string | undefined {
    const value = this.#scalar(field);
    if (field === undefined || value === undefined) {
      return undefined;
    }
    if (typeof value !== 'string') {
      this.at(field, `must be a text, is ${describe(field.node)}; put it in quotes`);
      return undefined;
    }
    if (value.trim() === '') {
      this.at(field, 'must not be empty; leave it out or give a value');
      return undefined;
    }
    return value;
  }

  #boolean(field: Field | undefined): boolean | undefined {
    const value = this.#scalar(field);
    if (field !== undefined && value !== undefined && typeof value !== 'boolean') {
      this.at(field, `must be true or false, is ${describe(field.node)}`);
      return undefined;
    }
    return value as boolean | undefined;
  }

  #integer(field: Field | undefined, least: number, most: number): number | undefined {
    const value = this.#scalar(field);
    if (field === undefined || value === undefined) {
      return undefined;
    }
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      this.at(field, `must be a whole number, is ${describe(field.node)}`);
      return undefined;
    }
    if (value < least || value > most) {
      this.at(field, `${value} is out of range: ${least} to ${most}`);
      return undefined;
    }
    return value;
  }

  #duration(field: Field | undefined): number | undefined {
    const value = this.#scalar(field);
    if (field === undefined || value === undefined) {
      return undefined;
    }
    const milliseconds = typeof value === 'string' ? parseGoDuration(value) : value === 0 ? 0 : undefined;
    if (milliseconds === undefined) {
      this.at(field, `must be a duration such as 5m0s, 1h or 100ms, is ${describe(field.node)}`);
      return undefined;
    }
    if (milliseconds < 0) {
      this.at(field, `a duration must not be negative, is ${describe(field.node)}`);
      return undefined;
    }
    return milliseconds;
  }

  #scalar(field: Field | undefined): unknown {
    if (field === undefined) {
      return undefined;
    }
    if (!isScalar(field.node)) {
      this.at(field, `must be a single value, is ${describe(field.node)}`);
      return undefined;
    }
    return field.node.value;
  }

  at(field: Field, message: string, other?: ParsedBackend): void {
    this.#report(field.node.range?.[0] ?? 0, field.path, message, other);
  }

  #report(offset: number, path: string, message: string, other?: ParsedBackend): void {
    const { line, col } = this.#lines.linePos(offset);
    const problem = { file: this.file, line: Math.max(1, line), column: Math.max(1, col), path, message };
    this.#problems.push(other === undefined ? problem : { ...problem, other: { file: other.document.file, path: other.at.path } });
  }
}

function ruleOf(backend: ParsedBackend): TopologyRule | undefined {
  const { document, at, name, dataSourceName, endpoint, matcher, tls, pool, compaction, disableStorageLevelFiltering } = backend;
  if (name === undefined || dataSourceName === undefined || endpoint === undefined || matcher === undefined) {
    return undefined;
  }
  const line = document.line(at);
  return { name, matcher, dataSourceName, endpoint, tls, pool, compaction, disableStorageLevelFiltering, line };
}

/** What no backend can be told alone: names and databases used twice, rules that stand in each other's way. */
function checkTogether(backends: readonly ParsedBackend[], options: ParseTopologyOptions): void {
  const names = new Map<string, ParsedBackend>();
  const databases = new Map<string, { readonly where: (from: DocumentParser) => string; readonly backend?: ParsedBackend }>();
  const defaultDataSource = options.defaultDataSourceName;
  if (defaultDataSource !== undefined) {
    const endpoint = endpointOrNothing(defaultDataSource, options);
    if (endpoint !== undefined) {
      databases.set(endpointIdentity(endpoint), { where: () => `the default backend, "${redactEndpoint(defaultDataSource)}"` });
    }
  }
  for (const [index, backend] of backends.entries()) {
    const { document, at, name, endpoint, endpointAt, dataSourceName } = backend;
    if (name !== undefined) {
      const other = names.get(name);
      if (other === undefined) {
        names.set(name, backend);
      } else {
        const nameAt = document.valueOf(at, 'name') ?? at;
        document.at(nameAt, `the name "${name}" is used twice: also by ${other.document.where(other.at, document)}`, other);
      }
    }
    if (endpointAt !== undefined && dataSourceName !== undefined) {
      const identity = endpoint === undefined ? dataSourceName : endpointIdentity(endpoint);
      const other = databases.get(identity);
      if (other === undefined) {
        databases.set(identity, { where: (from) => document.where(at, from), backend });
      } else {
        const message = `endpoint "${redactEndpoint(dataSourceName)}" is the same database as that of ${other.where(document)}`;
        document.at(endpointAt, message, other.backend);
      }
    }
    checkShadow(backend, backends.slice(0, index));
  }
}

function checkShadow({ document, keyRule, matcher, matcherAt }: ParsedBackend, earlier: readonly ParsedBackend[]): void {
  if (keyRule === undefined) {
    return;
  }
  const isSame = (other: ParsedBackend): boolean => isDeepStrictEqual(other.matcher, matcher);
  const over = earlier.find((other) => isSame(other) || (other.keyRule !== undefined && shadows(other.keyRule, keyRule)));
  if (over?.keyRule !== undefined) {
    const where = over.document.where(over.at, document);
    const reason =
      isSame(over) || shadows(keyRule, over.keyRule)
        ? `takes the same keys as ${where}: they differ in nothing, or in what is ignored`
        : `can never match: ${where} comes first and takes every key of it`;
    document.at(matcherAt, `this rule ${reason}`, over);
  }
}

function placeText({ file, line, path, name, isSameDocument }: BackendPlace): string {
  return `${path}${name === undefined ? '' : ` "${name}"`} (${isSameDocument ? '' : `${file}, `}line ${line})`;
}

function endpointOrNothing(dataSourceName: string, options: ParseTopologyOptions): Endpoint | undefined {
  try {
    return parseEndpoint(dataSourceName, { ...options, allowMulti: true });
  } catch (error) {
    // Whoever owns the setting says what is wrong with it.
    if (error instanceof EndpointError) {
      return undefined;
    }
    throw error;
  }
}

function describe(node: Node): string {
  if (isMap(node)) {
    return 'a mapping';
  }
  if (isSeq(node)) {
    return 'a list';
  }
  const value: unknown = isScalar(node) ? node.value : undefined;
  switch (typeof value) {
    case 'string':
      return `the text "${redactEndpoint(value)}"`;
    case 'number':
    case 'boolean':
    case 'bigint':
      return `the ${typeof value} ${value}`;
    default:
      return 'empty';
  }
}

/** Without the fields that are undefined: absent means the default. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

import { parseSecretReference, type SecretReference, type TopologyBackend, type TopologyConfig } from '@harikube/crds';
import { EndpointError, parseEndpoint } from '@harikube/datasources';
import { formatGoDuration, parseGoDuration } from '@harikube/platform';
import { stringify } from 'yaml';

/** What a TopologyConfig says, as the router reads it. */
export interface ConfigDocument {
  /** YAML. */
  readonly text: string;
  /** TLS material that the text names, by the key of the Secret that it stands in. */
  readonly files: Readonly<Record<string, string>>;
}

/** The value of a key of a Secret. Throws `UnresolvedReferenceError`. */
export type Resolve = (reference: SecretReference) => Buffer;

/** A Secret, or a key in it, is not there, or is not what it is needed for. */
export class UnresolvedReferenceError extends Error {
  override readonly name = 'UnresolvedReferenceError';
}

/** Every reference of a TopologyConfig; each once. */
export function referencesOf({ spec }: Pick<TopologyConfig, 'spec'>): SecretReference[] {
  const texts = spec.backends.flatMap(({ endpoint, backendTLS = {} }) => [
    endpoint,
    backendTLS.caFile,
    backendTLS.certFile,
    backendTLS.keyFile,
  ]);
  return [...new Set(texts)].flatMap((text) => parseSecretReference(text ?? '') ?? []);
}

/**
 * The document of the reference, field by field in its order: durations as Go prints them, `kinds: []` where a rule of a namespace names none.
 * References are replaced by what they lead to. Throws `UnresolvedReferenceError`.
 */
export function configDocument({ spec }: Pick<TopologyConfig, 'spec'>, resolve: Resolve): ConfigDocument {
  const files: Record<string, string> = {};
  const backends = spec.backends.map((backend) => backendOf(backend, resolve, files));
  return { text: stringify({ backends }, { indentSeq: false, lineWidth: 0, aliasDuplicateObjects: false }), files };
}

/** Throws `UnresolvedReferenceError` for what no endpoint can be, in words without it: whatever a Secret holds is shown to nobody. */
export function checkReferencedEndpoints({ spec }: Pick<TopologyConfig, 'spec'>, resolve: Resolve): void {
  for (const { endpoint } of spec.backends) {
    const reference = parseSecretReference(endpoint);
    if (reference !== null) checkEndpoint(reference, resolve(reference).toString('utf8').trim());
  }
}

function checkEndpoint({ namespace, name, key }: SecretReference, text: string): void {
  try {
    parseEndpoint(text);
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    const scheme = /^([a-z]{1,16}):[/][/]/.exec(text)?.[1];
    const why = scheme === undefined ? '' : ` (its scheme is "${scheme}")`;
    throw new UnresolvedReferenceError(
      `the key "${key}" of the Secret ${namespace}/${name} holds no endpoint that can be used${why}; it is written as in sqlite://PATH`,
    );
  }
}

function backendOf(backend: TopologyBackend, resolve: Resolve, files: Record<string, string>): object {
  const { name, endpoint, backendTLS, connectionPool, regexp, prefix, namespace, customresource } = backend;
  const tls = backendTLS === undefined ? undefined : { ...backendTLS, ...tlsFiles(name, backendTLS, resolve, files) };
  return defined({
    name,
    endpoint: resolved(endpoint, (reference) => resolve(reference).toString('utf8').trim()),
    backendTLS:
      tls === undefined
        ? undefined
        : defined({ caFile: tls.caFile, certFile: tls.certFile, keyFile: tls.keyFile, skipVerify: tls.skipVerify }),
    connectionPool:
      connectionPool === undefined
        ? undefined
        : defined({
            maxIdle: connectionPool.maxIdle,
            maxOpen: connectionPool.maxOpen,
            maxLifeTime: duration(connectionPool.maxLifeTime),
            maxIdleLifeTime: duration(connectionPool.maxIdleLifeTime),
          }),
    compactInterval: duration(backend.compactInterval),
    compactIntervalJitter: backend.compactIntervalJitter,
    compactTimeout: duration(backend.compactTimeout),
    compactMinRetain: backend.compactMinRetain,
    compactBatchSize: backend.compactBatchSize,
    disableStorageLevelFiltering: backend.disableStorageLevelFiltering,
    regexp: regexp === undefined ? undefined : defined({ prefix: regexp.prefix, key: regexp.key }),
    prefix: prefix === undefined ? undefined : { prefix: prefix.prefix },
    namespace: namespace === undefined ? undefined : { namespace: namespace.namespace, kinds: namespace.kinds ?? [] },
    customresource:
      customresource === undefined
        ? undefined
        : defined({ group: customresource.group, kind: customresource.kind === '' ? undefined : customresource.kind }),
  });
}

const TLS_FILES = { caFile: 'ca.crt', certFile: 'tls.crt', keyFile: 'tls.key' } as const;

/** Names of files in place of the references; the router finds them among its TLS files. */
function tlsFiles(
  backend: string,
  tls: NonNullable<TopologyBackend['backendTLS']>,
  resolve: Resolve,
  files: Record<string, string>,
): Partial<Record<keyof typeof TLS_FILES, string>> {
  const named: Partial<Record<keyof typeof TLS_FILES, string>> = {};
  for (const [field, suffix] of Object.entries(TLS_FILES) as [keyof typeof TLS_FILES, string][]) {
    const text = tls[field];
    if (text === undefined) continue;
    named[field] = resolved(text, (reference) => {
      const file = `${backend}-${suffix}`;
      files[file] = pemOf(reference, resolve(reference).toString('utf8'));
      return file;
    });
  }
  return named;
}

/** By what it is, the router tells it from a document. */
function pemOf({ namespace, name, key }: SecretReference, text: string): string {
  if (!/^-----BEGIN [A-Z0-9 ]+-----/m.test(text))
    throw new UnresolvedReferenceError(`the key "${key}" of the Secret ${namespace}/${name} holds nothing in PEM`);
  return text;
}

function resolved(text: string, of: (reference: SecretReference) => string): string {
  const reference = parseSecretReference(text);
  return reference === null ? text : of(reference);
}

/** What is no duration is left as it is, for the judge. */
function duration(text: string | undefined): string | undefined {
  const milliseconds = text === undefined ? undefined : parseGoDuration(text);
  return milliseconds === undefined ? text : formatGoDuration(milliseconds);
}

function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

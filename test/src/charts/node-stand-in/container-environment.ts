import { arch } from 'node:os';
import type { KubeObject } from '@harikube/kube';
import type { Container, EnvironmentVariable, KeyReference, NamedSource, Pod } from './pod.js';

/** What a Pod refers to and is not there: it waits for it. */
export class MissingObjectError extends Error {
  override readonly name = 'MissingObjectError';
}

export interface Data extends KubeObject {
  /** Of a Secret in base64. */
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
}

/** Reads the objects that Pods refer to. */
export interface ObjectReader {
  secret(namespace: string, name: string): Data | undefined;
  configMap(namespace: string, name: string): Data | undefined;
}

/** The data of a Secret or ConfigMap; undefined: it is not there and need not be. */
export function dataOf(
  reader: ObjectReader,
  kind: 'secret' | 'configMap',
  namespace: string,
  { name = '', optional = false }: NamedSource,
): ReadonlyMap<string, Buffer> | undefined {
  const object = reader[kind](namespace, name);
  if (object === undefined) {
    if (optional) return undefined;
    throw new MissingObjectError(`${kind.toLowerCase()} "${name}" not found`);
  }
  const encoding = kind === 'secret' ? 'base64' : 'utf8';
  return new Map([
    ...Object.entries(object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, encoding)] as const),
    ...Object.entries(object.binaryData ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ]);
}

export interface EnvironmentOptions {
  readonly pod: Pod;
  readonly container: Container;
  readonly podAddress: string;
  readonly nodeAddress: string;
  readonly reader: ObjectReader;
  /** Of the image and of Services: what the Pod says goes before it. */
  readonly base: Readonly<Record<string, string>>;
}

/** The environment of a container as the kubelet makes it; throws `MissingObjectError`. */
export function containerEnvironment(options: EnvironmentOptions): Record<string, string> {
  const { pod, container, reader, base } = options;
  const { namespace = '' } = pod.metadata;
  const result: Record<string, string> = { ...base };
  for (const { prefix = '', secretRef, configMapRef } of container.envFrom ?? []) {
    const data =
      secretRef === undefined ? dataOf(reader, 'configMap', namespace, configMapRef ?? {}) : dataOf(reader, 'secret', namespace, secretRef);
    for (const [key, value] of data ?? []) result[`${prefix}${key}`] = value.toString();
  }
  for (const variable of container.env ?? []) {
    const value = variable.valueFrom === undefined ? expand(variable.value ?? '', result) : valueFrom(variable, options);
    if (value !== undefined) result[variable.name] = value;
  }
  return result;
}

/** `$(NAME)` of a name that is known, and `$$` for one dollar. */
export function expand(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) => (name === undefined ? '$' : (values[name] ?? whole)));
}

function valueFrom({ name, valueFrom: source = {} }: EnvironmentVariable, options: EnvironmentOptions): string | undefined {
  const { pod, container, reader } = options;
  const { namespace = '' } = pod.metadata;
  if (source.secretKeyRef !== undefined) return keyOf(reader, 'secret', namespace, source.secretKeyRef);
  if (source.configMapKeyRef !== undefined) return keyOf(reader, 'configMap', namespace, source.configMapKeyRef);
  if (source.fieldRef !== undefined) return fieldOf(source.fieldRef.fieldPath, options);
  if (source.resourceFieldRef !== undefined) {
    const { resource, divisor = '1' } = source.resourceFieldRef;
    const [kind = '', what = ''] = resource.split('.');
    const amount = (kind === 'limits' ? container.resources?.limits : container.resources?.requests)?.[what];
    if (amount === undefined) throw new Error(`${name}: the container has no ${resource}`);
    return String(Math.ceil(quantity(amount) / (quantity(divisor) || 1)));
  }
  throw new Error(`${name}: the source of its value is not known`);
}

function keyOf(reader: ObjectReader, kind: 'secret' | 'configMap', namespace: string, reference: KeyReference): string | undefined {
  const value = dataOf(reader, kind, namespace, reference)?.get(reference.key);
  if (value === undefined && reference.optional !== true)
    throw new MissingObjectError(`couldn't find key ${reference.key} in ${kind} ${namespace}/${reference.name}`);
  return value?.toString();
}

/** A field of the Pod for environment or a file; throws for one that is not known. */
export function fieldOf(
  path: string,
  { pod, podAddress, nodeAddress }: Pick<EnvironmentOptions, 'pod' | 'podAddress' | 'nodeAddress'>,
): string {
  const { name = '', namespace = '', uid = '', labels = {}, annotations = {} } = pod.metadata;
  const indexed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (indexed !== null) return (indexed[1] === 'labels' ? labels : annotations)[indexed[2] ?? ''] ?? '';
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': name,
    'metadata.namespace': namespace,
    'metadata.uid': uid,
    'spec.nodeName': pod.spec.nodeName ?? '',
    'spec.serviceAccountName': pod.spec.serviceAccountName ?? '',
    'status.podIP': podAddress,
    'status.podIPs': podAddress,
    'status.hostIP': nodeAddress,
    'status.hostIPs': nodeAddress,
  };
  const value = fields[path];
  if (value === undefined) throw new Error(`the field ${path} of a Pod is not known`);
  return value;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

function quantity(text: string): number {
  const match = /^([\d.]+)([A-Za-z]*)$/.exec(text);
  const unit = UNITS[match?.[2] ?? ''];
  if (match === null || unit === undefined) throw new Error(`${text} is no quantity that is known`);
  return Number(match[1]) * unit;
}

/** As `kubernetes.io/arch` has it. */
export function architecture(): string {
  return arch() === 'x64' ? 'amd64' : arch();
}

/** What the Jobs of the charts are told: one JSON text, which the charts make and nobody writes by hand. */
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '@harikube/kube';
import { ChartHookError } from './hook-error.js';

export interface CertificateSpec {
  /** The Secret that holds it: `ca.crt`, `tls.crt`, `tls.key`. */
  readonly secret: string;
  readonly use: 'server' | 'client';
  readonly commonName: string;
  /** Of a server, beside `localhost`. */
  readonly names?: readonly string[];
}

export interface AuthoritySpec {
  /** The Secret that holds its certificate and its key. */
  readonly secret: string;
  readonly commonName: string;
  readonly certificates: readonly CertificateSpec[];
}

export interface CertificatesSpec {
  readonly namespace: string;
  /** On each Secret that is made. */
  readonly labels: Readonly<Record<string, string>>;
  readonly authorities: readonly AuthoritySpec[];
}

export interface TrustSpec {
  readonly namespace: string;
  /** Whose `ca.crt` is to be trusted. */
  readonly secret: string;
  readonly validatingWebhooks?: readonly string[];
  readonly mutatingWebhooks?: readonly string[];
  readonly apiServices?: readonly string[];
}

export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

export interface RemoveSpec {
  /** NAMESPACE.NAME of a release: everything of `kinds` that it applied goes. */
  readonly release?: string;
  readonly kinds?: readonly Omit<ObjectReference, 'name' | 'namespace'>[];
  readonly objects?: readonly ObjectReference[];
  /** Taken off first: whoever would do it is gone. */
  readonly finalizers?: readonly string[];
  /** Pods that have to be gone before anything is removed: they would make it again. */
  readonly after?: { readonly namespace: string; readonly labelSelector: string };
}

/** The value of `--spec`. Throws `ChartHookError` when it is no JSON object or lacks one of the fields. */
export function parseSpec<T>(text: string, required: readonly (keyof T & string)[]): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ChartHookError('--spec is not JSON; it is what the chart writes there', { cause: error });
  }
  if (typeof value !== 'object' || value === null) throw new ChartHookError('--spec is no JSON object; it is what the chart writes there');
  const missing = required.filter((field) => !(field in value));
  if (missing.length > 0) throw new ChartHookError(`--spec has no ${missing.join(', ')}; it is what the chart writes there`);
  return value as T;
}

/** The objects of a file of YAML documents; an empty one holds none. */
export function objectsOf(text: string, file: string): KubeObject[] {
  return [...parseAllDocuments(text)].flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new ChartHookError(`${file} is not YAML: ${error.message}`);
    const value: unknown = document.toJS();
    if (value === null) return [];
    if (!isObject(value)) throw new ChartHookError(`${file} holds something that is no Kubernetes object with a kind and a name`);
    return [value];
  });
}

function isObject(value: unknown): value is KubeObject {
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('apiVersion' in value) || !('metadata' in value)) return false;
  const { metadata } = value;
  return typeof metadata === 'object' && metadata !== null && 'name' in metadata && typeof metadata.name === 'string';
}

/** `TopologyConfig shop/users`, for messages. */
export function titleOf({ kind, metadata: { namespace, name = '' } }: KubeObject): string {
  return `${kind ?? 'object'} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

import type { Status } from './status-error.js';

/** The parts of Kubernetes' ObjectMeta that programs meet. An object that is about to be created lacks most of them. */
export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  /** Equal for two equal states of one object; not to be computed with. */
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  managedFields?: ManagedFieldsEntry[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ManagedFieldsEntry {
  manager?: string;
  operation?: string;
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: object;
  subresource?: string;
}

/** What every object of the API has. Objects that come from `KubeClient` and caches always carry `apiVersion` and `kind`. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

/** Where the objects of a kind are found in the API; `T` is their type. */
export interface Resource<T> {
  /** Empty: the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries the type only; never there. */
  readonly object?: T;
}

export interface KubeList<T> {
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  items: T[];
}

export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';

/** BOOKMARK carries an object that has nothing but a version, ERROR a `Status`, the others an object of the kind. */
export interface WatchEvent<T> {
  type: WatchEventType;
  object: T | KubeObject | Status;
}

/** `apiVersion` of the objects of a resource. */
export function apiVersionOf({ group, version }: Pick<Resource<unknown>, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`;
}

/** `secrets`, `leases.coordination.k8s.io`: how messages, logs and metrics call a resource. */
export function resourceName({ group, plural }: Pick<Resource<unknown>, 'group' | 'plural'>): string {
  return group === '' ? plural : `${plural}.${group}`;
}

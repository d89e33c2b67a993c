/** Objects that belong to a release of a chart and can only be written when its webhooks answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  apiVersionOf,
  ifFound,
  type KubeClient,
  type KubeObject,
  NoSuchKindError,
  type Resource,
  type ResourceDiscovery,
} from '@harikube/kube';
import { ChartHookError } from './hook-error.js';
import { type ObjectReference, type RemoveSpec, titleOf } from './hook-spec.js';
import { untilAccepted } from './until-accepted.js';

/** On each object that a release applied; the value is NAMESPACE.NAME of the release. */
export const RELEASE_LABEL = 'harikube.info/release';

export interface HookContext {
  readonly client: Pick<KubeClient, 'apply' | 'list' | 'get' | 'delete' | 'patch' | 'create' | 'watch' | 'update'>;
  readonly discovery: Pick<ResourceDiscovery, 'resolve' | 'forget'>;
  readonly timeoutMs: number;
  readonly note: (text: string) => void;
}

export interface ApplyOptions {
  readonly objects: readonly KubeObject[];
  /** NAMESPACE.NAME. */
  readonly release: string;
  /** Kinds of which the release may have objects: what it has of them and `objects` lacks is removed. */
  readonly kinds: readonly { readonly apiVersion: string; readonly kind: string }[];
  /** Only sees to it that everything would be accepted. */
  readonly isDryRun: boolean;
}

const FIELD_MANAGER = 'harikube-chart';

/** Applies the objects and removes those that the release applied before and has no more. Rejects with a `ChartHookError`. */
export async function applyObjects(context: HookContext, { objects, release, kinds, isDryRun }: ApplyOptions): Promise<void> {
  const { client, note } = context;
  for (const object of objects) {
    const labelled = { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, [RELEASE_LABEL]: release } } };
    await attempt(context, object, (resource) =>
      client.apply(resource, labelled, { fieldManager: FIELD_MANAGER, force: true, dryRun: isDryRun }),
    );
    note(`${titleOf(object)} ${isDryRun ? 'would be accepted' : 'is applied'}`);
  }
  if (isDryRun) return;
  const isKept = (found: KubeObject): boolean =>
    objects.some(
      (object) =>
        object.kind === found.kind &&
        object.metadata.name === found.metadata.name &&
        object.metadata.namespace === found.metadata.namespace,
    );
  for (const kind of kinds)
    for (const { resource, object } of await applied(context, kind, release)) if (!isKept(object)) await remove(context, resource, object);
}

/** Removes what a release applied, and the objects that are named, and waits until they are gone. What is not there is no error. */
export async function removeObjects(context: HookContext, spec: RemoveSpec): Promise<void> {
  const { kinds = [], objects = [], finalizers = [], release } = spec;
  const end = performance.now() + context.timeoutMs;
  if (spec.after !== undefined) await untilNoPods(context, spec.after, end);
  const found: Found[] = [];
  if (release !== undefined) for (const kind of kinds) found.push(...(await applied(context, kind, release)));
  for (const reference of objects) found.push(...(await named(context, reference)));
  for (const { resource, object } of found) {
    await releaseFinalizers(context, resource, object, finalizers);
    await remove(context, resource, object);
  }
  for (const { resource, object } of found) await untilGone(context, resource, object, end);
}

const PODS: Resource<KubeObject> = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

async function untilNoPods({ client }: HookContext, where: NonNullable<RemoveSpec['after']>, end: number): Promise<void> {
  for (;;) {
    const { items } = await client.list(PODS, where);
    if (items.length === 0) return;
    if (performance.now() >= end)
      throw new ChartHookError(
        `still there: ${items.map((pod) => titleOf({ ...pod, kind: 'Pod' })).join(', ')}; what they look after stays`,
      );
    await sleep(250);
  }
}

interface Found {
  readonly resource: Resource<KubeObject>;
  readonly object: KubeObject;
}

async function applied(
  { client, discovery }: HookContext,
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
  release: string,
): Promise<Found[]> {
  const resource = await known(discovery, apiVersion, kind);
  if (resource === null) return [];
  const { items } = await client.list(resource, { labelSelector: `${RELEASE_LABEL}=${release}` });
  return items.map((object) => ({ resource, object: { ...object, kind, apiVersion } }));
}

async function named({ client, discovery }: HookContext, { apiVersion, kind, name, namespace }: ObjectReference): Promise<Found[]> {
  const resource = await known(discovery, apiVersion, kind);
  const object = resource === null ? null : await ifFound(client.get(resource, name, namespace));
  return resource === null || object === null ? [] : [{ resource, object }];
}

/** Null: the cluster has no such kind, and so no objects of it. */
async function known(discovery: HookContext['discovery'], apiVersion: string, kind: string): Promise<Resource<KubeObject> | null> {
  try {
    return await discovery.resolve(apiVersion, kind);
  } catch (error) {
    if (error instanceof NoSuchKindError) return null;
    throw error;
  }
}

async function attempt<T>(
  { discovery, timeoutMs, note }: HookContext,
  object: KubeObject,
  send: (resource: Resource<KubeObject>) => Promise<T>,
): Promise<T> {
  const { apiVersion = '', kind = '' } = object;
  return await untilAccepted(async () => send(await discovery.resolve(apiVersion, kind)), { what: titleOf(object), timeoutMs, note });
}

async function remove({ client, note }: HookContext, resource: Resource<KubeObject>, object: KubeObject): Promise<void> {
  const { name = '', namespace } = object.metadata;
  await ifFound(client.delete(resource, name, namespace));
  note(`${titleOf(object)} is removed`);
}

async function releaseFinalizers(
  { client }: HookContext,
  resource: Resource<KubeObject>,
  { metadata: { name = '', namespace, finalizers = [], resourceVersion } }: KubeObject,
  released: readonly string[],
): Promise<void> {
  const left = finalizers.filter((finalizer) => !released.includes(finalizer));
  if (left.length === finalizers.length) return;
  const patch = { metadata: { finalizers: left, resourceVersion } };
  await ifFound(client.patch(resource, name, namespace, patch, { type: 'merge' }));
}

async function untilGone({ client }: HookContext, resource: Resource<KubeObject>, object: KubeObject, end: number): Promise<void> {
  const { name = '', namespace, uid } = object.metadata;
  for (;;) {
    const found = await ifFound(client.get(resource, name, namespace));
    if (found === null || found.metadata.uid !== uid) return;
    if (performance.now() >= end) {
      const { finalizers = [] } = found.metadata;
      throw new ChartHookError(
        `${titleOf(object)} (${apiVersionOf(resource)}) is still there: it waits for ${finalizers.length === 0 ? 'the API server' : `whoever is to take off ${finalizers.join(', ')}`}`,
      );
    }
    await sleep(250);
  }
}

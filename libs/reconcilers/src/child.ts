import { ifFound, type Informer, type KubeClient, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import { isPart } from './is-part.js';

/** Something that belongs to a reconciled object: how it is to be, and how the cache has it. */
export interface Child {
  readonly resource: Resource<KubeObject>;
  readonly wanted: KubeObject;
  readonly cached: KubeObject | undefined;
}

export interface ApplyChildOptions {
  readonly client: Pick<KubeClient, 'apply' | 'create' | 'delete'>;
  readonly fieldManager: string;
  readonly signal: AbortSignal;
}

export function childOf(resource: Resource<KubeObject>, cache: Pick<Informer<KubeObject>, 'get'>, wanted: KubeObject): Child {
  const { name = '', namespace } = wanted.metadata;
  return { resource, wanted, cached: cache.get(name, namespace) };
}

/** Missing, or without something that is wanted. What others added stays. */
export function isDrifted({ wanted, cached }: Pick<Child, 'wanted' | 'cached'>): boolean {
  return cached === undefined || !isPart(cached, wanted);
}

/**
 * Of children to bring about, those that come first: kube-apiserver refuses a binding until it has noticed the role that the binding refers to. What
 * tells it tells the watch of the roles, which calls for the rest. A binding to a role that is none of these children waits for nothing.
 */
export function rolesFirst(children: readonly Child[]): readonly Child[] {
  const names = new Set(children.map(({ wanted }) => `${wanted.kind} ${wanted.metadata.name}`));
  return children.filter(({ wanted }) => {
    const role = roleRefOf(wanted);
    return role === undefined || !names.has(`${role.kind} ${role.name}`);
  });
}

/** Whether a binding was refused because the authorizer has not noticed the role: the watch was quicker. */
export function isRoleUnseen(error: unknown): boolean {
  const kind = error instanceof StatusError && error.isNotFound ? error.status.details?.kind : undefined;
  return kind === 'rolebindings' || kind === 'clusterrolebindings';
}

/** Brings about what is wanted; `current` is what there is of it, whose it is having been looked at. What a binding refers to cannot be changed. */
export async function applyChild(
  { resource, wanted }: Pick<Child, 'resource' | 'wanted'>,
  current: KubeObject | undefined,
  { client, fieldManager, signal }: ApplyChildOptions,
): Promise<void> {
  const roleRef = roleRefOf(wanted);
  if (current !== undefined && roleRef !== undefined && !isPart(current, { roleRef })) {
    await replaceChild({ resource, wanted }, current, { client, fieldManager, signal });
    return;
  }
  // The uid makes it fail when it is another one by now.
  const object = current === undefined ? wanted : { ...wanted, metadata: { ...wanted.metadata, uid: current.metadata.uid } };
  await client.apply(resource, object, { fieldManager, force: true, signal });
}

/** Deletes this very object and creates what is wanted. */
export async function replaceChild(
  { resource, wanted }: Pick<Child, 'resource' | 'wanted'>,
  { metadata: { uid } }: KubeObject,
  { client, fieldManager, signal }: ApplyChildOptions,
): Promise<void> {
  const { name = '', namespace } = wanted.metadata;
  await ifFound(client.delete(resource, name, namespace, { preconditions: { uid }, signal }));
  await client.create(resource, wanted, { fieldManager, signal });
}

function roleRefOf(
  object: KubeObject & { readonly roleRef?: { readonly kind: string; readonly name: string } },
): { kind: string; name: string } | undefined {
  return object.roleRef;
}

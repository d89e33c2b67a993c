import { ifFound, type KubeObject, type Resource } from '@harikube/kube';
import { ChartHookError } from './hook-error.js';
import { titleOf } from './hook-spec.js';
import type { HookContext } from './release-objects.js';
import { untilAccepted } from './until-accepted.js';

/**
 * Creates an object through kube-apiserver, reads it, sees both its arrival and its end in a watch, and deletes it. Rejects with a
 * `ChartHookError` that says which step failed; what is left of it is deleted.
 */
export async function roundTrip(context: HookContext, object: KubeObject): Promise<void> {
  const { client, discovery, timeoutMs, note } = context;
  const { apiVersion = '', kind = '' } = object;
  const { name = '', namespace } = object.metadata;
  const what = titleOf(object);
  const resource = await untilAccepted(() => discovery.resolve(apiVersion, kind), { what, timeoutMs, note });
  await ifFound(client.delete(resource, name, namespace));
  const { metadata } = await client.list(resource, { namespace, fieldSelector: `metadata.name=${name}` });
  const watched = awaitDeletion(context, { resource, object, resourceVersion: metadata.resourceVersion });
  // Whatever fails first is told.
  watched.catch(() => undefined);
  const created = await untilAccepted(() => client.create(resource, object), { what, timeoutMs, note });
  note(`${what} is created`);
  try {
    const found = await client.get(resource, name, namespace);
    if (found.metadata.uid !== created.metadata.uid)
      throw new ChartHookError(`${what} is read as another object than the one that was created`);
    note(`${what} is read`);
  } finally {
    await ifFound(client.delete(resource, name, namespace));
  }
  note(`${what} is deleted`);
  await watched;
  note(`a watch has seen ${what} come and go`);
}

interface Watched {
  readonly resource: Resource<KubeObject>;
  readonly object: KubeObject;
  readonly resourceVersion: string | undefined;
}

async function awaitDeletion({ client, timeoutMs }: HookContext, { resource, object, resourceVersion }: Watched): Promise<void> {
  const { name = '', namespace } = object.metadata;
  const seen: string[] = [];
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const events = client.watch(resource, { namespace, fieldSelector: `metadata.name=${name}`, resourceVersion, signal });
    for await (const { type } of events) {
      if (type === 'ADDED' || type === 'DELETED') seen.push(type);
      if (seen.includes('ADDED') && seen.at(-1) === 'DELETED') return;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  throw new ChartHookError(
    `a watch of ${titleOf(object)} has seen ${seen.length === 0 ? 'nothing' : seen.join(', ')} and not how it came and went`,
  );
}

import type { KubeClient, KubeObject, Resource } from '@harikube/kube';

export interface Where {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly seconds?: number;
}

/** Waits by a watch until `holds` for the objects by name; says what was there when it takes too long. */
export async function until<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  holds: (objects: ReadonlyMap<string, T>) => boolean,
  { seconds = 180, ...where }: Where = {},
): Promise<Map<string, T>> {
  const signal = AbortSignal.timeout(seconds * 1000);
  const objects = new Map<string, T>();
  const keyOf = ({ metadata: { name = '', namespace } }: T): string => (namespace === undefined ? name : `${namespace}/${name}`);
  try {
    // A watch may end at any time: it is taken up again by a list.
    for (;;) {
      objects.clear();
      const { items, metadata } = await client.list(resource, { ...where, signal });
      for (const item of items) objects.set(keyOf(item), item);
      if (holds(objects)) return objects;
      for await (const { type, object } of client.watch(resource, { ...where, resourceVersion: metadata.resourceVersion, signal })) {
        if (type === 'ERROR') break;
        if (type === 'DELETED') objects.delete(keyOf(object as T));
        else if (type !== 'BOOKMARK') objects.set(keyOf(object as T), object as T);
        if (holds(objects)) return objects;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  const shown = [...objects.values()]
    .slice(0, 5)
    .map(({ metadata: { managedFields: _, ...metadata }, ...rest }) => ({ ...rest, metadata }));
  throw new Error(`${resource.plural} did not become as expected, ${objects.size} are there: ${JSON.stringify(shown, null, 1)}`);
}

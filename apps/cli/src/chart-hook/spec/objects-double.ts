import { apiVersionOf, type KubeObject, NoSuchKindError, type Resource, StatusError } from '@harikube/kube';
import type { HookContext } from '../release-objects.js';

export const CONFIGS: Resource<KubeObject> = {
  group: 'harikube.info',
  version: 'v1',
  kind: 'TopologyConfig',
  plural: 'topologyconfigs',
  namespaced: true,
};

/** Objects in memory, in place of an API server; `refusals` are thrown by the next writes. */
export class ObjectsDouble {
  readonly objects = new Map<string, KubeObject>();
  readonly notes: string[] = [];
  readonly refusals: Error[] = [];
  #count = 0;

  context(timeoutMs = 5000): HookContext {
    const absent = (): never => {
      throw new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'NotFound', code: 404 });
    };
    const put = async (resource: Resource<KubeObject>, object: KubeObject): Promise<KubeObject> => {
      const refusal = this.refusals.shift();
      if (refusal !== undefined) throw refusal;
      const { namespace, name = '' } = object.metadata;
      const uid = this.objects.get(keyOf(resource, name, namespace))?.metadata.uid ?? `uid-${++this.#count}`;
      const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(++this.#count) } };
      this.objects.set(keyOf(resource, name, namespace), stored);
      return stored;
    };
    const get = async (resource: Resource<KubeObject>, name: string, namespace?: string): Promise<KubeObject> =>
      this.objects.get(keyOf(resource, name, namespace)) ?? absent();
    const client = {
      get,
      create: put,
      update: put,
      apply: async (resource: Resource<KubeObject>, object: KubeObject, { dryRun }: { dryRun?: boolean }) =>
        dryRun === true ? object : put(resource, object),
      patch: async (resource: Resource<KubeObject>, name: string, namespace: string | undefined, patch: object) => {
        const { metadata = {}, ...rest } = patch as Partial<KubeObject>;
        const object = await get(resource, name, namespace);
        return put(resource, { ...object, ...rest, metadata: { ...object.metadata, ...metadata } });
      },
      list: async (resource: Resource<KubeObject>, { labelSelector = '' }: { labelSelector?: string }) => {
        const [label = '', value] = labelSelector.split('=');
        const items = [...this.objects.entries()].filter(([key]) => key.startsWith(`${resource.kind} `)).map(([, object]) => object);
        return { metadata: {}, items: items.filter(({ metadata }) => metadata.labels?.[label] === value) };
      },
      delete: async (resource: Resource<KubeObject>, name: string, namespace?: string) => {
        const { metadata } = await get(resource, name, namespace);
        if ((metadata.finalizers ?? []).length === 0) this.objects.delete(keyOf(resource, name, namespace));
      },
    };
    const resolve = async (apiVersion: string, kind: string): Promise<Resource<KubeObject>> => {
      if (kind === CONFIGS.kind && apiVersion === apiVersionOf(CONFIGS)) return CONFIGS;
      throw new NoSuchKindError(`there is no ${kind}`);
    };
    return {
      client: client as unknown as HookContext['client'],
      discovery: { resolve, forget: () => undefined },
      timeoutMs,
      note: (text) => this.notes.push(text),
    };
  }
}

export function keyOf({ kind }: Resource<KubeObject>, name: string, namespace = ''): string {
  return `${kind} ${namespace}/${name}`;
}

/** A TopologyConfig of the namespace `shop`. */
export function config(name: string, more: Partial<KubeObject['metadata']> = {}): KubeObject {
  return { apiVersion: apiVersionOf(CONFIGS), kind: CONFIGS.kind, metadata: { name, namespace: 'shop', ...more } };
}

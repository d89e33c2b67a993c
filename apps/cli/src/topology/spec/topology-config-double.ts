import type { TopologyConfig } from '@harikube/crds';

/** A TopologyConfig as the API server has it, with one rule; active unless told. */
export function topologyConfig(
  name: string,
  more: { readonly spec?: object; readonly status?: object; readonly metadata?: object } = {},
): TopologyConfig {
  return {
    apiVersion: 'harikube.info/v1',
    kind: 'TopologyConfig',
    metadata: { name, namespace: 'harikube', generation: 2, resourceVersion: '7', ...more.metadata },
    spec: {
      targetSecret: 'harikube/topology-config',
      backends: [{ name, endpoint: `sqlite:///db/${name}.db`, prefix: { prefix: `${name}s` } }],
      ...more.spec,
    },
    status: { deployStatus: 'Active', observedGeneration: 2, deployOrder: 1, backends: [{ name, keys: 3, bytes: 30 }], ...more.status },
  };
}

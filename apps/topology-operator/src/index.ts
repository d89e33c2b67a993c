export { topologyOperatorManifests, type TopologyOperatorManifestsOptions } from './manifests.js';
export { topologyOperatorProgram } from './topology-operator.js';

/** Where the objects of the platform belong in the API. */
import { AGGREGATED_GROUP, VERSION } from '@harikube/crds';
import {
  apiVersionOf,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  type KubeObject,
  NAMESPACES,
  type Resource,
  ROLE_BINDINGS,
  ROLES,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '@harikube/kube';
import type { Conditioned } from './await-condition.js';

export const DEFINITIONS: Resource<Conditioned> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};
export const API_SERVICES: Resource<Conditioned> = {
  group: 'apiregistration.k8s.io',
  version: 'v1',
  kind: 'APIService',
  plural: 'apiservices',
  namespaced: false,
};
const ADMISSION = { group: 'admissionregistration.k8s.io', version: 'v1', namespaced: false } as const;
export const VALIDATING_WEBHOOKS: Resource<KubeObject> = {
  ...ADMISSION,
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
};
export const MUTATING_WEBHOOKS: Resource<KubeObject> = {
  ...ADMISSION,
  kind: 'MutatingWebhookConfiguration',
  plural: 'mutatingwebhookconfigurations',
};
export const REGISTRATIONS: Resource<KubeObject> = {
  group: AGGREGATED_GROUP,
  version: VERSION,
  kind: 'Registration',
  plural: 'registrations',
  namespaced: false,
};

/** What makes kube-apiserver call a service. */
export const CALLS: readonly Resource<KubeObject>[] = [API_SERVICES, VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS];

/** The aggregated API as kube-apiserver calls it. */
export const API_SERVICE_NAME = `${VERSION}.${AGGREGATED_GROUP}`;

const RESOURCES: readonly Resource<KubeObject>[] = [
  NAMESPACES,
  SERVICE_ACCOUNTS,
  SERVICES,
  CLUSTER_ROLES,
  CLUSTER_ROLE_BINDINGS,
  ROLES,
  ROLE_BINDINGS,
  DEFINITIONS,
  API_SERVICES,
  VALIDATING_WEBHOOKS,
  MUTATING_WEBHOOKS,
];

/** Where an object of the platform belongs in the API. */
export function resourceOf({ apiVersion, kind }: KubeObject): Resource<KubeObject> {
  const found = RESOURCES.find((resource) => resource.kind === kind && apiVersionOf(resource) === apiVersion);
  if (found === undefined)
    throw new Error(`the platform has an object of ${apiVersion} ${kind}, and nothing here knows where that belongs`);
  return found;
}

/** What the platform has in Kubernetes, in the order in which it may be made. */
import { admissionWebhookManifests } from '@harikube/admission-webhook';
import { apiServerManifests } from '@harikube/api-server';
import { emailFunctionManifests } from '@harikube/email-function';
import { clusterRoles, crdManifest, DEFAULT_TARGET_SECRET, KIND_CLASSES, PLATFORM_NAMESPACE } from '@harikube/crds';
import { apiVersionOf, type KubeObject } from '@harikube/kube';
import { registrationControllerManifests } from '@harikube/registration-controller';
import { routerManifests } from '@harikube/router';
import { tenantControllerManifests } from '@harikube/tenant-controller';
import { topologyOperatorManifests } from '@harikube/topology-operator';
import { userControllerManifests } from '@harikube/user-controller';
import { watchTriggerManifests } from '@harikube/watch-trigger';
import { CALLS, REGISTRATIONS } from './platform-resources.js';

export interface PlatformEndpoints {
  /** PEM: the authority of the services' certificates. */
  readonly caBundle: string;
  readonly webhookPort: number;
  readonly apiServerPort: number;
  readonly functionPort: number;
  /** Of the webhook for TopologyConfigs; absent: the topology is not read from them. */
  readonly topologyPort?: number;
}

export interface PlatformObjects {
  readonly namespaces: readonly KubeObject[];
  readonly definitions: readonly KubeObject[];
  /** Accounts, rights and services. */
  readonly rights: readonly KubeObject[];
  /** What makes kube-apiserver call the services: only to be made when they serve. */
  readonly calls: readonly KubeObject[];
}

const [TARGET_NAMESPACE = '', TARGET_NAME = ''] = DEFAULT_TARGET_SECRET.split('/');

/** The objects of a platform whose services run on this machine. */
export function platformObjects({ caBundle, webhookPort, apiServerPort, functionPort, topologyPort }: PlatformEndpoints): PlatformObjects {
  const namespace = PLATFORM_NAMESPACE;
  const manifests = [
    ...KIND_CLASSES.flatMap(clusterRoles),
    ...admissionWebhookManifests({ namespace, caBundle, url: `https://localhost:${webhookPort}` }),
    ...apiServerManifests({ namespace, caBundle, externalName: 'localhost', port: apiServerPort }),
    ...registrationControllerManifests({ namespace }),
    ...tenantControllerManifests({ namespace }),
    ...userControllerManifests({ namespace }),
    ...watchTriggerManifests({ namespace }),
    ...emailFunctionManifests({ namespace, externalName: 'localhost', port: functionPort }),
    ...(topologyPort === undefined
      ? []
      : [
          ...routerManifests({ namespace, topologySecret: { namespace: TARGET_NAMESPACE, name: TARGET_NAME } }),
          ...topologyOperatorManifests({ namespace, targets: [DEFAULT_TARGET_SECRET], caBundle, url: `https://localhost:${topologyPort}` }),
        ]),
  ].map(kubeObject);
  const isCall = ({ kind }: KubeObject): boolean => CALLS.some((resource) => resource.kind === kind);
  return {
    namespaces: [namespace, ...(topologyPort === undefined ? [] : [TARGET_NAMESPACE])].map(namespaceOf),
    definitions: KIND_CLASSES.map((kind) => kubeObject(crdManifest(kind))),
    rights: manifests.filter((object) => !isCall(object)),
    calls: manifests.filter(isCall),
  };
}

function namespaceOf(name: string): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'app.kubernetes.io/part-of': 'harikube' } } };
}

/** A registration that passes every check, to be sent with `dryRun`. */
export function sampleRegistration(name: string): KubeObject & { readonly spec: object } {
  return {
    apiVersion: apiVersionOf(REGISTRATIONS),
    kind: REGISTRATIONS.kind,
    metadata: { name },
    spec: {
      user: { firstName: 'Start', lastName: 'Check', email: `${name}@start.invalid`, phoneNumber: '+15551234567' },
      password: 'Start-Check-1',
      tenant: { companyName: 'Start Check', country: 'HU', city: 'Budapest', address: 'Example street 1', postalCode: '1011' },
    },
  };
}

function kubeObject(value: unknown): KubeObject {
  if (typeof value === 'object' && value !== null && 'metadata' in value && typeof value.metadata === 'object' && value.metadata !== null) {
    return { ...value, metadata: value.metadata };
  }
  throw new Error('a manifest is no object with metadata');
}

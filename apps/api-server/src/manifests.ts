import { AGGREGATED_GROUP, GROUP, MANAGED_BY, MANAGED_BY_LABEL, VERSION } from '@harikube/crds';
import { accountManifests } from '@harikube/kube';
import { PLURAL } from './status-answer.js';
import { TRUST_NAMESPACE } from './trust-source.js';

export interface ApiServerManifestsOptions {
  readonly namespace: string;
  /** Whom kube-apiserver believes the server's certificate from; PEM. */
  readonly caBundle: string;
  /** Where the server is when it runs outside of the cluster; then `port` is the one that it listens on. */
  readonly externalName?: string;
  readonly port?: number;
}

/** The server's name: of its account, and of its Service. */
const NAME = 'api-server';
const FULL_NAME = `harikube-${NAME}`;
const RBAC = 'rbac.authorization.k8s.io';
const SERVICE_PORT = 443;
const TARGET_PORT = 7443;

/** The name in the server's certificate by which kube-apiserver calls it. */
export function apiServerHostName(namespace: string): string {
  return `${NAME}.${namespace}.svc`;
}

/**
 * What the server needs in Kubernetes. It may store registrations and follow them, ask who somebody is and what he may do, and nothing else.
 * ClusterRole `webshop-registrar` is for those who may register people; it is bound to nobody.
 */
export function apiServerManifests({ namespace, caBundle, externalName, port = SERVICE_PORT }: ApiServerManifestsOptions): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  const apiVersion = `${RBAC}/v1`;
  const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace }];
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [{ apiGroups: [GROUP], resources: ['registrationrequests'], verbs: ['create', 'get', 'list', 'watch'] }],
    }),
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name: `${FULL_NAME}-auth-delegator`, labels },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: 'system:auth-delegator' },
      subjects,
    },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: { name: `${FULL_NAME}-authentication-reader`, namespace: TRUST_NAMESPACE, labels },
      roleRef: { apiGroup: RBAC, kind: 'Role', name: 'extension-apiserver-authentication-reader' },
      subjects,
    },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name: 'webshop-registrar', labels },
      rules: [
        { apiGroups: [AGGREGATED_GROUP], resources: [PLURAL], verbs: ['create'] },
        { apiGroups: [AGGREGATED_GROUP], resources: ['docs'], verbs: ['get'] },
        { nonResourceURLs: ['/docs', '/docs/*'], verbs: ['get'] },
      ],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: NAME, namespace, labels },
      spec:
        externalName === undefined
          ? {
              selector: { 'app.kubernetes.io/name': NAME },
              ports: [{ name: 'https', port: SERVICE_PORT, targetPort: TARGET_PORT, protocol: 'TCP' }],
            }
          : { type: 'ExternalName', externalName },
    },
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: `${VERSION}.${AGGREGATED_GROUP}`, labels },
      spec: {
        group: AGGREGATED_GROUP,
        version: VERSION,
        groupPriorityMinimum: 1000,
        versionPriority: 10,
        caBundle: Buffer.from(caBundle).toString('base64'),
        service: { name: NAME, namespace, port },
      },
    },
  ];
}

import { EMAILS, HTTP_TRIGGERS, MANAGED_BY, MANAGED_BY_LABEL } from '@harikube/crds';
import { accountManifests, leaseRules } from '@harikube/kube';
import { SECRETS_ROLE } from './references.js';
import { AGGREGATE_TO_WATCH_TRIGGER } from './trigger-conditions.js';

const NAME = 'watch-trigger';
const RBAC = 'rbac.authorization.k8s.io';
const READ = ['get', 'list', 'watch'];

/**
 * What the program needs in Kubernetes. It may read Secrets in its own namespace, and where somebody binds `harikube-watch-trigger-secrets` to its
 * account. What triggers may watch is in ClusterRoles with the label triggers.harikube.info/aggregate-to-watch-trigger: "true"; one of them is here.
 */
export function watchTriggerManifests({ namespace }: { readonly namespace: string }): object[] {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  const apiVersion = `${RBAC}/v1`;
  const sources = `harikube-${NAME}-sources`;
  const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace }];
  const secretRules = [{ apiGroups: [''], resources: ['secrets'], verbs: READ }];
  return [
    ...accountManifests({
      name: NAME,
      namespace,
      labels,
      clusterRules: [
        { apiGroups: [HTTP_TRIGGERS.group], resources: [HTTP_TRIGGERS.plural], verbs: READ },
        { apiGroups: [HTTP_TRIGGERS.group], resources: [`${HTTP_TRIGGERS.plural}/status`], verbs: ['patch'] },
        { apiGroups: [''], resources: ['services'], verbs: READ },
        // To notice at once that the kind of a trigger has come.
        { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['list', 'watch'] },
        { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
      ],
      namespaceRules: [...leaseRules(NAME), ...secretRules],
    }),
    { apiVersion, kind: 'ClusterRole', metadata: { name: SECRETS_ROLE, labels }, rules: secretRules },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name: sources, labels },
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: AGGREGATE_TO_WATCH_TRIGGER }] },
    },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name: sources, labels },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: sources },
      subjects,
    },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: { name: `harikube-${NAME}-emails`, labels: { ...labels, ...AGGREGATE_TO_WATCH_TRIGGER } },
      rules: [{ apiGroups: [EMAILS.group], resources: [EMAILS.plural], verbs: READ }],
    },
  ];
}

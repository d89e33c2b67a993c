import { describe, expect, it } from '@jest/globals';
import { accountManifests, leaseRules } from './account-manifests.js';

const clusterRules = [{ apiGroups: [''], resources: ['namespaces'], verbs: ['get'] }];

describe('the manifests of an account', () => {
  it('bind it to a role of its own everywhere, and to one in its namespace', () => {
    const manifests = accountManifests({
      name: 'sample',
      namespace: 'home',
      labels: { a: '1' },
      clusterRules,
      namespaceRules: leaseRules('sample'),
    });
    expect(manifests.map(({ kind, metadata }) => [kind, metadata.name, metadata.namespace, metadata.labels])).toEqual([
      ['ServiceAccount', 'sample', 'home', { a: '1' }],
      ['ClusterRole', 'harikube-sample', undefined, { a: '1' }],
      ['ClusterRoleBinding', 'harikube-sample', undefined, { a: '1' }],
      ['Role', 'harikube-sample', 'home', { a: '1' }],
      ['RoleBinding', 'harikube-sample', 'home', { a: '1' }],
    ]);
    const subjects = [{ kind: 'ServiceAccount', name: 'sample', namespace: 'home' }];
    const apiGroup = 'rbac.authorization.k8s.io';
    expect(manifests[2]).toMatchObject({ subjects, roleRef: { apiGroup, kind: 'ClusterRole', name: 'harikube-sample' } });
    expect(manifests[4]).toMatchObject({ subjects, roleRef: { apiGroup, kind: 'Role', name: 'harikube-sample' } });
  });

  it('have no role in the namespace where nothing is to be done there', () => {
    const kinds = accountManifests({ name: 'sample', namespace: 'home', labels: {}, clusterRules }).map(({ kind }) => kind);
    expect(kinds).toEqual(['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding']);
  });

  it('let a program hold its own Lease and no other', () => {
    expect(leaseRules('sample')).toEqual([
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: ['sample.harikube.info'],
        verbs: ['get', 'update'],
      },
    ]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, type KubeObject, ROLE_BINDINGS, StatusError } from '@harikube/kube';
import { applyChild, type Child, childOf, isDrifted, isRoleUnseen, rolesFirst } from './child.js';

const RULES = { rules: [{ verbs: ['get'] }] };
const role: KubeObject = { kind: 'ClusterRole', metadata: { name: 'own' }, ...RULES };

function bindingTo(name: string, kind = 'ClusterRole'): KubeObject {
  return { kind: 'ClusterRoleBinding', metadata: { name: `to-${name}` }, ...{ roleRef: { kind, name } } };
}

function missing(wanted: KubeObject): Child {
  return { resource: wanted === role ? CLUSTER_ROLES : CLUSTER_ROLE_BINDINGS, wanted, cached: undefined };
}

/** What was asked of the API, in order. */
function recorder(): { readonly log: string[]; readonly client: Parameters<typeof applyChild>[2]['client'] } {
  const log: string[] = [];
  const client = {
    apply: async <T extends KubeObject>(_: unknown, object: T): Promise<T> => {
      log.push(`apply ${object.metadata.name} ${object.metadata.uid}`);
      return object;
    },
    create: async <T extends KubeObject>(_: unknown, object: T): Promise<T> => {
      log.push(`create ${object.metadata.name}`);
      return object;
    },
    delete: async (_: unknown, name: string, _namespace?: string, options?: { preconditions?: { uid?: string } }): Promise<void> => {
      log.push(`delete ${name} ${options?.preconditions?.uid}`);
    },
  };
  return { log, client };
}

describe('a child', () => {
  it('is drifted when it is missing or lacks something, and not by what others added', () => {
    const cache = { get: (): KubeObject => ({ metadata: { name: 'own', labels: { theirs: '1' } }, ...RULES }) };
    expect(isDrifted(childOf(CLUSTER_ROLES, cache, { metadata: { name: 'own' }, ...RULES }))).toBe(false);
    expect(isDrifted(childOf(CLUSTER_ROLES, cache, { metadata: { name: 'own', labels: { ours: '1' } } }))).toBe(true);
    expect(isDrifted(missing(role))).toBe(true);
  });

  it('that is a binding comes after the role that it refers to, when that is to be made, too', () => {
    const own = missing(bindingTo('own'));
    const other = missing(bindingTo('other'));
    expect(rolesFirst([own, missing(role), other]).map(({ wanted }) => wanted.metadata.name)).toEqual(['own', 'to-other']);
    expect(rolesFirst([own, other])).toEqual([own, other]);
    expect(rolesFirst([missing(role), missing(bindingTo('own', 'Role'))]).length).toBe(2);
  });

  it('is applied to the very object that was looked at, and replaced where a binding refers to another role', async () => {
    const { log, client } = recorder();
    const options = { client, fieldManager: 'test', signal: new AbortController().signal };
    const child = { resource: ROLE_BINDINGS, wanted: bindingTo('own') };
    await applyChild(child, undefined, options);
    await applyChild(child, { ...bindingTo('own'), metadata: { name: 'to-own', uid: 'u-1' } }, options);
    await applyChild(child, { ...bindingTo('else'), metadata: { name: 'to-own', uid: 'u-2' } }, options);
    expect(log).toEqual(['apply to-own undefined', 'apply to-own u-1', 'delete to-own u-2', 'create to-own']);
  });

  it('is refused for a role that is not seen yet, and for nothing else', () => {
    const notFound = (kind: string): StatusError =>
      new StatusError({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        reason: 'NotFound',
        code: 404,
        details: { kind },
      });
    expect(['rolebindings', 'clusterrolebindings', 'namespaces'].map((kind) => isRoleUnseen(notFound(kind)))).toEqual([true, true, false]);
    expect(isRoleUnseen(new Error('rolebindings'))).toBe(false);
  });
});

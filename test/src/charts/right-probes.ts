/**
 * Rights that kube-apiserver asks for within a request that its audit log shows under another verb: nobody grants what he does not have, binds a role
 * that he may not bind, or blocks the deletion of what he may not keep. Each is proven by an account that has all rights but this one.
 */
import { eventually } from '../e2e/eventually.js';
import type { Kubectl } from '../e2e/kubectl.js';
import { type Right, titleOf } from './webshop-rights.js';

const RBAC = 'rbac.authorization.k8s.io';
const REFUSED_WITHIN = /not currently held|can't set finalizers on|cannot set an ownerRef on a resource you can't delete/;

export interface ProbeOptions {
  readonly kubectl: Kubectl;
  readonly namespace: string;
  /** Of one account, everything that it has. */
  readonly rights: readonly Right[];
  /** Those to prove, as `titleOf` has them. */
  readonly titles: readonly string[];
  /** What the account makes, under names that are free. Nothing is kept. */
  readonly objects: readonly object[];
  /** What it changes in objects that are there, as an apply has it. Nothing is kept. */
  readonly changes?: readonly object[];
}

/** Those of the titles without whose right the objects are refused for what they say. Rejects when the account with all rights may not make them. */
export async function rightsAskedWithin({ kubectl, namespace, rights, titles, objects, changes = [] }: ProbeOptions): Promise<string[]> {
  const account = rights[0]?.account.split(':').at(-1) ?? '';
  const probes = [null, ...titles].map((without, index) => ({ name: `probe-${account}-${index}`, without }));
  const items = probes.flatMap(({ name, without }) => [
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRole',
      metadata: { name },
      rules: rights.filter((right) => titleOf(right) !== without).map(ruleOf),
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
  ]);
  await kubectl.succeed(['create', '-f', '-'], { apiVersion: 'v1', kind: 'List', items });
  const attempts: readonly (readonly [string[], readonly object[]])[] = [
    [['create'], objects],
    [['apply', '--server-side', '--field-manager=probe'], changes],
  ];
  const said = async (name: string): Promise<string> => {
    const as = [`--as=system:serviceaccount:${namespace}:${name}`, '--dry-run=server'];
    const errors = attempts
      .filter(([, items]) => items.length > 0)
      .map(async ([verb, items]) => (await kubectl.run([...verb, ...as, '-f', '-'], { apiVersion: 'v1', kind: 'List', items })).err);
    return (await Promise.all(errors)).join('');
  };
  const needed: string[] = [];
  for (const { name, without } of probes) {
    // A role is known to kube-apiserver a moment after its making: until then nothing may be made at all.
    const refusal = await eventually(
      () => said(name),
      (err) => err === '' || (without !== null && REFUSED_WITHIN.test(err)),
    );
    if (without !== null && refusal !== '') needed.push(without);
  }
  await kubectl.succeed(['delete', 'clusterrole,clusterrolebinding', ...probes.map(({ name }) => name)]);
  return needed;
}

function ruleOf({ verb, group, resource, names }: Right): object {
  return { verbs: [verb], apiGroups: [group], resources: [resource], ...(names === undefined ? {} : { resourceNames: names }) };
}

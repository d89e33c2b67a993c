/** What the accounts of a release may do, set against what they did: from its manifests, and from kube-apiserver's audit log. */
import type { PolicyRule } from '@harikube/kube';

interface RbacObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly PolicyRule[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

/** One verb on one resource. */
export interface Right {
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly account: string;
  readonly verb: string;
  readonly group: string;
  /** With its subresource. */
  readonly resource: string;
  /** Absent: of any name. */
  readonly names?: readonly string[];
  /** Absent: everywhere. */
  readonly namespace?: string;
}

export interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number; readonly message?: string };
  readonly requestURI: string;
  readonly stageTimestamp: string;
}

/** The rights that manifests give to accounts by roles which are among them. */
export function rightsOf(objects: readonly object[]): Right[] {
  const all = objects as readonly RbacObject[];
  return all.flatMap(({ kind, metadata, roleRef, subjects = [] }) => {
    if (kind !== 'RoleBinding' && kind !== 'ClusterRoleBinding') return [];
    const role = all.find((each) => each.kind === roleRef?.kind && each.metadata.name === roleRef.name);
    const namespace = kind === 'RoleBinding' ? metadata.namespace : undefined;
    return subjects.flatMap((subject) =>
      rightsOfRules(role?.rules ?? [], `system:serviceaccount:${subject.namespace}:${subject.name}`, namespace),
    );
  });
}

export function rightsOfRules(rules: readonly PolicyRule[], account: string, namespace?: string): Right[] {
  return rules.flatMap(({ apiGroups = [], resources = [], resourceNames, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => ({ account, verb, group, resource, names: resourceNames, namespace }))),
    ),
  );
}

/** Whether a request used a right. An apply that made its object used the right to create it, too: kube-apiserver asks for both. */
export function isUseOf(event: AuditEvent, right: Right): boolean {
  const { user, verb, objectRef, requestURI, responseStatus } = event;
  if (objectRef === undefined || user.username !== right.account) return false;
  const { apiGroup = '', resource, subresource, namespace, name } = objectRef;
  const verbs = [verb];
  if (verb === 'patch' && responseStatus?.code === 201) verbs.push('create');
  // Where a server does not send what is there in a watch, it is asked for by a list.
  if (verb === 'watch' && requestURI.includes('sendInitialEvents=true')) verbs.push('list');
  return (
    verbs.includes(right.verb) &&
    apiGroup === right.group &&
    (subresource === undefined ? resource : `${resource}/${subresource}`) === right.resource &&
    (right.names === undefined || name === undefined || right.names.includes(name)) &&
    (right.namespace === undefined || right.namespace === namespace)
  );
}

/** `registration-controller: delete users.product.webshop.harikube.info`. */
export function titleOf({ account, verb, group, resource }: Right): string {
  return `${account.split(':').at(-1)}: ${verb} ${group === '' ? resource : `${resource}.${group}`}`;
}

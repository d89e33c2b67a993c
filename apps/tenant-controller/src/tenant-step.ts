/**
 * What a Tenant needs next, from what is there and nothing else. A Tenant has one namespace of its own name, which belongs to it by uid; a namespace
 * of that name which does not is never touched. It is deleted from the inside: users, namespace, and then the Tenant's finalizer.
 */
import { type Condition, READY, type Tenant, TENANT_FINALIZER } from '@harikube/crds';

/** The parts of a namespace that decide. */
export interface NamespaceView {
  readonly isOurs: boolean;
  readonly isTerminating: boolean;
  /** Labels or owner are not as they should be. */
  readonly isDrifted: boolean;
  /** Why it does not end, as Kubernetes' own controller says it. */
  readonly remains: string | null;
}

export interface TenantView {
  readonly tenant: Tenant;
  readonly namespace: NamespaceView | null;
  /** The namespace was read from the API in this run, not from a cache. */
  readonly isFresh: boolean;
  /** Users in the namespace. */
  readonly users: { readonly total: number; readonly leaving: number };
  /** Rights inside and outside of the namespace that are missing or not as they should be. */
  readonly missingRights: number;
}

/** What the condition Ready says. */
export type Ready = Pick<Condition, 'status' | 'reason' | 'message'>;

export type TenantStep =
  | { readonly do: 'nothing' }
  /** A watch tells when it goes on. */
  | { readonly do: 'say'; readonly ready: Ready }
  | { readonly do: 'read' }
  | { readonly do: 'add-finalizer' }
  | { readonly do: 'create-namespace' }
  | { readonly do: 'apply-namespace' }
  | { readonly do: 'apply-rights' }
  | { readonly do: 'delete-users' }
  | { readonly do: 'delete-namespace' }
  | { readonly do: 'remove-finalizer' };

export function nextStep(view: TenantView): TenantStep {
  const { tenant, namespace } = view;
  const hasFinalizer = tenant.metadata.finalizers?.includes(TENANT_FINALIZER) === true;
  if (tenant.metadata.deletionTimestamp !== undefined) return hasFinalizer ? nextOfEnd(view) : { do: 'nothing' };
  if (!hasFinalizer) return { do: 'add-finalizer' };
  if (namespace === null) return { do: 'create-namespace' };
  if (!namespace.isOurs) {
    const message = `there is a namespace ${String(tenant.metadata.name)} that was not made for this Tenant; it is left as it is`;
    return not('NamespaceConflict', message);
  }
  if (namespace.isTerminating) {
    return not('NamespaceTerminating', `the namespace was deleted and is made again when it is gone${because(namespace)}`);
  }
  if (namespace.isDrifted) return { do: 'apply-namespace' };
  if (view.missingRights > 0) return { do: 'apply-rights' };
  return { do: 'say', ready: { status: 'True', reason: 'NamespaceActive', message: 'the namespace is active' } };
}

function nextOfEnd({ namespace, isFresh, users }: TenantView): TenantStep {
  // What a cache does not show may exist: the finalizer goes only when the API itself has said so.
  if (!isFresh) return { do: 'read' };
  if (namespace === null || !namespace.isOurs) return { do: 'remove-finalizer' };
  if (namespace.isTerminating) return not('Terminating', `the namespace is being deleted${because(namespace)}`);
  if (users.total > users.leaving) return { do: 'delete-users' };
  if (users.total > 0) return not('Terminating', `${users.total} users are being deleted`);
  return { do: 'delete-namespace' };
}

function because({ remains }: NamespaceView): string {
  return remains === null ? '' : `: ${remains}`;
}

function not(reason: string, message: string): TenantStep {
  return { do: 'say', ready: { status: 'False', reason, message } };
}

/** The condition as it is; null: nothing was said yet. */
export function readyOf(tenant: Tenant): Condition | null {
  return tenant.status?.conditions?.find(({ type }) => type === READY) ?? null;
}

/** What tests of the registration flow look at: that what it leaves is whole, and that nothing of it is left. */
import { expect } from '@jest/globals';
import {
  EMAIL_CLAIMS,
  EMAILS,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  READY,
  type Tenant,
  TENANT_LABEL,
  TENANTS,
  type User,
  USERS,
} from '@harikube/crds';
import {
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  type KubeClient,
  type KubeObject,
  NAMESPACES,
  type Resource,
  ROLE_BINDINGS,
  SECRETS,
  SERVICE_ACCOUNTS,
} from '@harikube/kube';
import { until } from './until.js';

/** Every Tenant of a registration has all that belongs to it, each thing of the right owner, and there is nothing else. */
export async function expectWhole(client: KubeClient, names: readonly string[]): Promise<void> {
  const labelSelector = `${MANAGED_BY_LABEL}=${MANAGED_BY},${TENANT_LABEL}`;
  const byName = async <T extends KubeObject>(resource: Resource<T>): Promise<Map<string, T>> => {
    const { items } = await client.list(resource, { labelSelector });
    return new Map(items.map((item) => [String(item.metadata.name), item]));
  };
  const tenants = await byName(TENANTS);
  expect([...tenants.keys()].toSorted()).toEqual([...names].toSorted());
  const [namespaces, users, secrets, emails, accounts] = await Promise.all([
    byName(NAMESPACES),
    byName(USERS),
    byName(SECRETS),
    byName(EMAILS),
    byName(SERVICE_ACCOUNTS),
  ]);
  const claims = (await client.list(EMAIL_CLAIMS, {})).items;
  const claimOf = new Map(claims.map((claim) => [ownerUid(claim), claim.spec.requestUid]));
  const wrong = [...tenants].filter(([name, tenant]) => {
    const user = users.get(name);
    return !(
      isReady(tenant) &&
      isReady(user) &&
      ownerUid(namespaces.get(name)) === tenant.metadata.uid &&
      ownerUid(user) === tenant.metadata.uid &&
      ownerUid(secrets.get(name)) === user?.metadata.uid &&
      ownerUid(accounts.get(name)) === user?.metadata.uid &&
      ownerUid(emails.get(`${name}-welcome`)) === user?.metadata.uid &&
      claimOf.get(tenant.metadata.uid) === name
    );
  });
  expect(wrong.map(([name]) => name)).toEqual([]);
  expect({ claims: claims.length, users: users.size, secrets: secrets.size, emails: emails.size, namespaces: namespaces.size }).toEqual({
    claims: names.length,
    users: names.length,
    secrets: names.length,
    emails: names.length,
    namespaces: names.length,
  });
}

/** Deletes all Tenants and waits until nothing of them is left. */
export async function removeTenants(client: KubeClient, seconds = 180): Promise<void> {
  const { items } = await client.list(TENANTS, {});
  for (const { metadata } of items) await client.delete(TENANTS, String(metadata.name));
  const isEmpty = (objects: ReadonlyMap<string, unknown>): boolean => objects.size === 0;
  await until(client, TENANTS, isEmpty, { seconds });
  for (const resource of [NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, USERS, EMAILS, SECRETS]) {
    await until(client, resource, isEmpty, { labelSelector: TENANT_LABEL, seconds });
  }
  await until(client, EMAIL_CLAIMS, isEmpty, { seconds });
}

export function ownerUid(object: KubeObject | undefined): string | undefined {
  const owners = object?.metadata.ownerReferences ?? [];
  return owners.length === 1 ? owners[0]?.uid : undefined;
}

export function isReady(object: Tenant | User | undefined): boolean {
  return object?.status?.conditions?.some(({ type, status }) => type === READY && status === 'True') === true;
}

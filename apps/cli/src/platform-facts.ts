/** What Kubernetes says about the platform, for `harikube status`. */
import {
  EMAILS,
  HTTP_TRIGGERS,
  REGISTRATION_CONDITIONS,
  REGISTRATION_REQUESTS,
  type RegistrationRequest,
  TENANTS,
  USERS,
} from '@harikube/crds';
import { ConnectionError, KubeClient, type KubeObject, type Resource, StatusError } from '@harikube/kube';
import { conditionOf } from './await-condition.js';
import { API_SERVICE_NAME, API_SERVICES, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS } from './platform-resources.js';
import type { Part } from './status-part.js';

export interface PlatformFacts {
  readonly parts: readonly Part[];
  /** How many objects there are, in a line. */
  readonly counts: string;
}

/** `wanted` are the webhook configurations by kind and name. Rejects with nothing that Kubernetes may answer: what it refuses is a part that is not ready. */
export async function readPlatformFacts(kubeconfig: string, wanted: readonly string[]): Promise<PlatformFacts> {
  const client = KubeClient.fromConfig({ kubeconfig, userAgent: 'harikube-status' });
  try {
    const parts = await Promise.all([
      part('aggregated API', () => aggregatedApi(client)),
      part('webhooks', () => webhooks(client, wanted)),
    ]);
    return { parts, counts: await counts(client) };
  } finally {
    await client.close();
  }
}

async function part(name: string, read: () => Promise<Omit<Part, 'name'>>): Promise<Part> {
  try {
    return { name, ...(await read()) };
  } catch (error) {
    return { name, isReady: false, text: reasonOf(error) };
  }
}

async function aggregatedApi(client: KubeClient): Promise<Omit<Part, 'name'>> {
  const available = conditionOf(await client.get(API_SERVICES, API_SERVICE_NAME), 'Available');
  const isReady = available?.status === 'True';
  return {
    isReady,
    text: `${API_SERVICE_NAME} ${isReady ? 'is available' : `is not available: ${available?.message ?? 'nothing is said'}`}`,
  };
}

async function webhooks(client: KubeClient, wanted: readonly string[]): Promise<Omit<Part, 'name'>> {
  const found = await Promise.all(
    [MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS].map(async (resource) =>
      (await client.list(resource)).items.map(({ metadata }) => `${resource.kind} ${metadata.name}`),
    ),
  );
  const missing = wanted.filter((name) => !found.flat().includes(name));
  return { isReady: missing.length === 0, text: missing.length === 0 ? wanted.join(', ') : `missing: ${missing.join(', ')}` };
}

async function counts(client: KubeClient): Promise<string> {
  try {
    const [tenants, users, emails, registrations, triggers] = await Promise.all([
      count(client, TENANTS),
      count(client, USERS),
      count(client, EMAILS),
      countRegistrations(client),
      client.list(HTTP_TRIGGERS),
    ]);
    const ready = triggers.items.filter((trigger) => conditionOf(trigger, 'Ready')?.status === 'True').length;
    return (
      `tenants: ${tenants}, users: ${users}, emails: ${emails}; registrations: ${registrations.running} running, ` +
      `${registrations.failed} failed; triggers: ${ready} of ${triggers.items.length} ready`
    );
  } catch (error) {
    return `tenants, users, emails, registrations and triggers cannot be counted: ${reasonOf(error)}`;
  }
}

/** A page of one tells how many more there are. */
async function count(client: KubeClient, resource: Resource<KubeObject>): Promise<number> {
  const { items, metadata } = await client.list(resource, { limit: 1 });
  return items.length + (metadata.remainingItemCount ?? 0);
}

/** Those that are over and done are removed: what is left runs, or failed a while ago. */
async function countRegistrations(client: KubeClient): Promise<{ readonly running: number; readonly failed: number }> {
  let running = 0;
  let failed = 0;
  let next: string | undefined;
  do {
    const { items, metadata } = await client.list(REGISTRATION_REQUESTS, { limit: 500, continue: next });
    for (const request of items) {
      if (isFailed(request)) failed++;
      else running++;
    }
    next = metadata.continue === '' ? undefined : metadata.continue;
  } while (next !== undefined);
  return { running, failed };
}

function isFailed({ status }: RegistrationRequest): boolean {
  return status?.conditions?.some((condition) => condition.type === REGISTRATION_CONDITIONS.failed && condition.status === 'True') === true;
}

function reasonOf(error: unknown): string {
  if (error instanceof StatusError || error instanceof ConnectionError) return error.message;
  throw error;
}

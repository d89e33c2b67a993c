import { ifFound, type KubeClient, type KubeObject, type Resource, SECRETS } from '@harikube/kube';
import { API_SERVICES, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS } from '../platform-resources.js';
import { ChartHookError } from './hook-error.js';
import type { TrustSpec } from './hook-spec.js';

export interface TrustContext {
  readonly client: Pick<KubeClient, 'get' | 'patch'>;
  readonly note: (text: string) => void;
}

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

interface WebhookConfiguration extends KubeObject {
  webhooks?: { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
}

interface ApiService extends KubeObject {
  spec?: { readonly caBundle?: string };
}

const SECRET: Resource<Secret> = SECRETS;

/** Tells kube-apiserver whom to trust when it calls webhooks and aggregated APIs: the authority in a Secret. */
export async function trustAuthority({ client, note }: TrustContext, spec: TrustSpec): Promise<void> {
  const { namespace, secret, validatingWebhooks = [], mutatingWebhooks = [], apiServices = [] } = spec;
  const caBundle = (await client.get(SECRET, secret, namespace)).data?.['ca.crt'];
  if (caBundle === undefined) throw new ChartHookError(`the Secret ${namespace}/${secret} has no ca.crt: it is to hold the authority`);
  const webhooks: [Resource<WebhookConfiguration>, string][] = [
    ...validatingWebhooks.map((name): [Resource<WebhookConfiguration>, string] => [VALIDATING_WEBHOOKS, name]),
    ...mutatingWebhooks.map((name): [Resource<WebhookConfiguration>, string] => [MUTATING_WEBHOOKS, name]),
  ];
  for (const [resource, name] of webhooks) {
    const found = await ifFound(client.get(resource, name));
    const operations = (found?.webhooks ?? []).flatMap(({ clientConfig }, index) =>
      clientConfig.caBundle === caBundle ? [] : [{ op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle }],
    );
    if (operations.length === 0) continue;
    // By their places: a list that another one has changed meanwhile is not to be patched.
    const test = { op: 'test', path: '/metadata/resourceVersion', value: found?.metadata.resourceVersion };
    await client.patch(resource, name, undefined, [test, ...operations], { type: 'json' });
    note(`${resource.kind} ${name} trusts ${namespace}/${secret}`);
  }
  for (const name of apiServices) {
    const found = await ifFound(client.get<ApiService>(API_SERVICES as Resource<ApiService>, name));
    if (found === null || found.spec?.caBundle === caBundle) continue;
    await client.patch(API_SERVICES, name, undefined, { spec: { caBundle } }, { type: 'merge' });
    note(`APIService ${name} trusts ${namespace}/${secret}`);
  }
}

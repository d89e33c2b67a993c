import { optionalWebhookSettings, WEBHOOK_FLAGS, type WebhookSettings } from '@harikube/admission';
import { DEFAULT_TARGET_SECRET } from '@harikube/crds';
import { ConfigError, type FlagDefinition, RouterAdminClient, type ServiceSettings, type Settings } from '@harikube/platform';
import type { TargetName } from './merged-secret.js';
import { URL_FLAG } from './router-view.js';

export interface TopologyOperatorConfig extends ServiceSettings {
  /** Null: nobody is asked what is in force. */
  readonly router: RouterAdminClient | null;
  /** Target Secrets that are looked after even while no TopologyConfig names them. */
  readonly targets: readonly TargetName[];
  readonly workers: number;
  /** Null: no webhook is served. */
  readonly webhook: WebhookSettings | null;
}

const WORKERS = 4;
const FILE_FLAGS = {
  tokenFile: 'router-admin-token-file',
  caFile: 'router-admin-ca-file',
  certFile: 'router-admin-cert-file',
  keyFile: 'router-admin-key-file',
} as const;

export const TOPOLOGY_OPERATOR_FLAGS: readonly FlagDefinition[] = [
  { name: URL_FLAG, help: "where the router's admin API answers: https://HOST:PORT; without it no TopologyConfig becomes Active" },
  { name: FILE_FLAGS.tokenFile, help: 'a file with the token for the admin API; it is read for each request' },
  {
    name: FILE_FLAGS.caFile,
    help: 'a file with the authorities that the certificate of the admin API is to be of',
    shownDefault: 'those that Node knows',
  },
  { name: FILE_FLAGS.certFile, help: 'a file with a certificate that is shown to the admin API, in place of a token' },
  { name: FILE_FLAGS.keyFile, help: 'a file with the key of that certificate' },
  {
    name: 'target-secrets',
    help: 'comma-separated Secrets, as NAMESPACE/NAME, that are looked after even while no TopologyConfig names them',
    shownDefault: DEFAULT_TARGET_SECRET,
  },
  { name: 'max-concurrent-reconciles', help: 'how many target Secrets are worked on at once', shownDefault: String(WORKERS) },
  ...WEBHOOK_FLAGS.map((flag) =>
    flag.name === 'webhook-cert-path' ? { ...flag, help: `${flag.help}; without it no webhook is served` } : flag,
  ),
];

export function topologyOperatorConfig(settings: Settings, common: ServiceSettings): TopologyOperatorConfig {
  return {
    ...common,
    router: routerOf(settings),
    targets: targetsOf(settings),
    workers: settings.integer('max-concurrent-reconciles', WORKERS, { least: 1, most: 1000 }),
    webhook: optionalWebhookSettings(settings),
  };
}

function routerOf(settings: Settings): RouterAdminClient | null {
  const url = settings.text(URL_FLAG);
  const files = Object.entries(FILE_FLAGS).flatMap(([field, flag]) => {
    const file = settings.text(flag);
    if (file !== null && url === null) settings.refuse(`${settings.source(flag)}=${file} means nothing without --${URL_FLAG}`);
    return file === null ? [] : [[field, file]];
  });
  if (url === null) return null;
  try {
    return new RouterAdminClient({ url, ...(Object.fromEntries(files) as Partial<Record<keyof typeof FILE_FLAGS, string>>) });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const reason of error.reasons) settings.refuse(`${settings.source(URL_FLAG)}: ${reason}`);
    return null;
  }
}

function targetsOf(settings: Settings): TargetName[] {
  const text = settings.text('target-secrets') ?? DEFAULT_TARGET_SECRET;
  return text.split(',').flatMap((part) => {
    const target = targetNameOf(part.trim());
    if (target === null) settings.refuse(`${settings.source('target-secrets')}: "${part.trim()}" is no Secret; write NAMESPACE/NAME`);
    return target ?? [];
  });
}

/** Of `namespace/name`; null: it is none. */
export function targetNameOf(text: string): TargetName | null {
  const [, namespace, name] = /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)$/.exec(text) ?? [];
  return namespace === undefined || name === undefined ? null : { namespace, name };
}

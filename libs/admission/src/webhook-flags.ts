import { bindAddress, type BindAddress, type FlagDefinition, type Settings } from '@harikube/platform';

/** Where a webhook is served, and with which certificate. */
export interface WebhookSettings {
  readonly listen: BindAddress;
  readonly tls: { readonly folder: string; readonly certName: string; readonly keyName: string };
}

const DEFAULT_LISTEN = ':9443';
const CERT_PATH = 'webhook-cert-path';

export const WEBHOOK_FLAGS: readonly FlagDefinition[] = [
  {
    name: 'webhook-bind-address',
    help: 'where kube-apiserver asks: HOST:PORT, or :PORT for every interface',
    shownDefault: DEFAULT_LISTEN,
  },
  { name: CERT_PATH, help: 'the folder of the certificate and its key; replaced files are taken up by themselves' },
  { name: 'webhook-cert-name', help: 'the file of the certificate in this folder', shownDefault: 'tls.crt' },
  { name: 'webhook-cert-key', help: 'the file of the key in this folder', shownDefault: 'tls.key' },
];

export function webhookSettings(settings: Settings): WebhookSettings {
  const listen = bindAddress(settings, 'webhook-bind-address', DEFAULT_LISTEN);
  if (settings.text('webhook-bind-address') === '0')
    settings.refuse('--webhook-bind-address=0 would leave nothing to ask; write HOST:PORT');
  const folder = settings.text(CERT_PATH);
  if (folder === null) settings.refuse(`--${CERT_PATH} is not given; name the folder that holds tls.crt and tls.key`);
  return {
    listen: listen ?? { host: '', port: 0 },
    tls: {
      folder: folder ?? '',
      certName: settings.text('webhook-cert-name') ?? 'tls.crt',
      keyName: settings.text('webhook-cert-key') ?? 'tls.key',
    },
  };
}

/** Null: no certificate is given, and none of the other flags; no webhook is served. */
export function optionalWebhookSettings(settings: Settings): WebhookSettings | null {
  if (settings.text(CERT_PATH) !== null) return webhookSettings(settings);
  for (const { name } of WEBHOOK_FLAGS) {
    const value = settings.text(name);
    if (value !== null) settings.refuse(`${settings.source(name)}=${value} means nothing without --${CERT_PATH}`);
  }
  return null;
}

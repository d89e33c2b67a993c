import { bindAddress, type BindAddress, type FlagDefinition, type Settings } from '@harikube/platform';

/** Where a webhook is served, and with which certificate. */
export interface WebhookSettings {
  readonly listen: BindAddress;
  readonly tls: { readonly folder: string; readonly certName: string; readonly keyName: string };
}

const DEFAULT_LISTEN = ':9443';

export const WEBHOOK_FLAGS: readonly FlagDefinition[] = [
  {
    name: 'webhook-bind-address',
    help: 'where kube-apiserver asks: HOST:PORT, or :PORT for every interface',
    shownDefault: DEFAULT_LISTEN,
  },
  { name: 'webhook-cert-path', help: 'the folder of the certificate and its key; replaced files are taken up by themselves' },
  { name: 'webhook-cert-name', help: 'the file of the certificate in this folder', shownDefault: 'tls.crt' },
  { name: 'webhook-cert-key', help: 'the file of the key in this folder', shownDefault: 'tls.key' },
];

export function webhookSettings(settings: Settings): WebhookSettings {
  const listen = bindAddress(settings, 'webhook-bind-address', DEFAULT_LISTEN);
  if (settings.text('webhook-bind-address') === '0')
    settings.refuse('--webhook-bind-address=0 would leave nothing to ask; write HOST:PORT');
  const folder = settings.text('webhook-cert-path');
  if (folder === null) settings.refuse('--webhook-cert-path is not given; name the folder that holds tls.crt and tls.key');
  return {
    listen: listen ?? { host: '', port: 0 },
    tls: {
      folder: folder ?? '',
      certName: settings.text('webhook-cert-name') ?? 'tls.crt',
      keyName: settings.text('webhook-cert-key') ?? 'tls.key',
    },
  };
}

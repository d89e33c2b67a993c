import { bindAddress, type BindAddress, type FlagDefinition, type ServiceSettings, type Settings } from '@harikube/platform';

export interface ApiServerConfig extends ServiceSettings {
  readonly listen: BindAddress;
  readonly certFolder: string;
  readonly certName: string;
  readonly certKey: string;
  readonly allowsAnonymous: boolean;
  readonly allowedMs: number;
  readonly deniedMs: number;
  readonly maxInFlight: number;
  readonly maxWaiting: number;
  readonly shutdownDelayMs: number;
  readonly drainMs: number;
}

export const API_SERVER_FLAGS: readonly FlagDefinition[] = [
  { name: 'secure-bind-address', help: 'where to serve the API: HOST:PORT, or :PORT for every interface', shownDefault: ':7443' },
  { name: 'api-service-cert-path', help: 'folder with the certificate and its key; both are followed as they are replaced' },
  { name: 'api-service-cert-name', help: 'file of the certificate in that folder', shownDefault: 'tls.crt' },
  { name: 'api-service-cert-key', help: 'file of the key in that folder', shownDefault: 'tls.key' },
  { name: 'anonymous-auth', isSwitch: true, help: 'take who shows no credentials at all for system:anonymous, instead of refusing him' },
  { name: 'authorization-webhook-cache-authorized-ttl', help: 'how long a yes of kube-apiserver holds', shownDefault: '10s' },
  { name: 'authorization-webhook-cache-unauthorized-ttl', help: 'how long a no of kube-apiserver holds', shownDefault: '10s' },
  { name: 'max-requests-inflight', help: 'requests that are worked on at a time', shownDefault: '200' },
  { name: 'max-registrations-waiting', help: 'registrations that wait for their result at a time', shownDefault: '1000' },
  {
    name: 'shutdown-delay-duration',
    help: 'how long to go on as before after the signal to end, until nobody sends more',
    shownDefault: '3s',
  },
  {
    name: 'shutdown-drain-duration',
    help: 'how long after that signal registrations that wait may still get their result',
    shownDefault: '55s',
  },
];

/** What cannot be used is refused on `settings`. */
export function apiServerConfig(settings: Settings, common: ServiceSettings): ApiServerConfig {
  const listen = bindAddress(settings, 'secure-bind-address', ':7443');
  if (listen === null && !settings.has('secure-bind-address')) settings.refuse('--secure-bind-address is missing');
  if (settings.text('secure-bind-address') === '0')
    settings.refuse('--secure-bind-address=0 would serve nothing; write HOST:PORT or :PORT');
  const certFolder = settings.text('api-service-cert-path');
  if (certFolder === null) settings.refuse('--api-service-cert-path is missing: the folder with tls.crt and tls.key');
  return {
    ...common,
    listen: listen ?? { host: '', port: 7443 },
    certFolder: certFolder ?? '',
    certName: settings.text('api-service-cert-name') ?? 'tls.crt',
    certKey: settings.text('api-service-cert-key') ?? 'tls.key',
    allowsAnonymous: settings.boolean('anonymous-auth'),
    allowedMs: settings.duration('authorization-webhook-cache-authorized-ttl', 10_000),
    deniedMs: settings.duration('authorization-webhook-cache-unauthorized-ttl', 10_000),
    maxInFlight: settings.integer('max-requests-inflight', 200, { least: 1, most: 100_000 }),
    maxWaiting: settings.integer('max-registrations-waiting', 1000, { least: 1, most: 100_000 }),
    shutdownDelayMs: settings.duration('shutdown-delay-duration', 3000),
    drainMs: settings.duration('shutdown-drain-duration', 55_000),
  };
}

import { bindAddress, type BindAddress, type FlagDefinition, type ServiceSettings, type Settings } from '@harikube/platform';
import { DEFAULT_HASH_PARAMETERS, type HashParameters } from './password-hash.js';

export interface AdmissionWebhookConfig extends ServiceSettings {
  readonly listen: BindAddress;
  readonly tls: { readonly folder: string; readonly certName: string; readonly keyName: string };
  readonly hashing: { readonly parameters: HashParameters; readonly parallel: number; readonly waiting: number };
}

const DEFAULT_LISTEN = ':9443';
/** 128 MiB by default. Node has four threads for this and for looking up names; above three, give it more by UV_THREADPOOL_SIZE. */
const DEFAULT_PARALLEL = 2;
/** About as many as are hashed within the ten seconds that kube-apiserver waits. */
const DEFAULT_WAITING = 100;
const MIB = 1024;

export const ADMISSION_WEBHOOK_FLAGS: readonly FlagDefinition[] = [
  {
    name: 'webhook-bind-address',
    help: 'where kube-apiserver asks: HOST:PORT, or :PORT for every interface',
    shownDefault: DEFAULT_LISTEN,
  },
  { name: 'webhook-cert-path', help: 'the folder of the certificate and its key; replaced files are taken up by themselves' },
  { name: 'webhook-cert-name', help: 'the file of the certificate in this folder', shownDefault: 'tls.crt' },
  { name: 'webhook-cert-key', help: 'the file of the key in this folder', shownDefault: 'tls.key' },
  {
    name: 'max-concurrent-hashes',
    help: 'how many passwords are hashed at once, each with the memory of --argon2-memory-mib',
    shownDefault: String(DEFAULT_PARALLEL),
  },
  {
    name: 'max-waiting-hashes',
    help: 'how many more may wait; who comes then is told to try again',
    shownDefault: String(DEFAULT_WAITING),
  },
  { name: 'argon2-memory-mib', help: 'memory of one hash', shownDefault: String(DEFAULT_HASH_PARAMETERS.memoryKib / MIB) },
  { name: 'argon2-iterations', help: 'passes of one hash over its memory', shownDefault: String(DEFAULT_HASH_PARAMETERS.iterations) },
  { name: 'argon2-parallelism', help: 'lanes of one hash', shownDefault: String(DEFAULT_HASH_PARAMETERS.parallelism) },
];

export function admissionWebhookConfig(settings: Settings, common: ServiceSettings): AdmissionWebhookConfig {
  const listen = bindAddress(settings, 'webhook-bind-address', DEFAULT_LISTEN);
  if (settings.text('webhook-bind-address') === '0')
    settings.refuse('--webhook-bind-address=0 would leave nothing to ask; write HOST:PORT');
  const folder = settings.text('webhook-cert-path');
  if (folder === null) settings.refuse('--webhook-cert-path is not given; name the folder that holds tls.crt and tls.key');
  const { memoryKib, iterations, parallelism } = DEFAULT_HASH_PARAMETERS;
  return {
    ...common,
    listen: listen ?? { host: '', port: 0 },
    tls: {
      folder: folder ?? '',
      certName: settings.text('webhook-cert-name') ?? 'tls.crt',
      keyName: settings.text('webhook-cert-key') ?? 'tls.key',
    },
    hashing: {
      parameters: {
        memoryKib: settings.integer('argon2-memory-mib', memoryKib / MIB, { least: 8, most: 1024 }) * MIB,
        iterations: settings.integer('argon2-iterations', iterations, { least: 1, most: 100 }),
        parallelism: settings.integer('argon2-parallelism', parallelism, { least: 1, most: 16 }),
      },
      parallel: settings.integer('max-concurrent-hashes', DEFAULT_PARALLEL, { least: 1, most: 64 }),
      waiting: settings.integer('max-waiting-hashes', DEFAULT_WAITING, { least: 0, most: 10_000 }),
    },
  };
}

import { WEBHOOK_FLAGS, webhookSettings, type WebhookSettings } from '@harikube/admission';
import type { FlagDefinition, ServiceSettings, Settings } from '@harikube/platform';
import { DEFAULT_HASH_PARAMETERS, type HashParameters } from './password-hash.js';

export interface AdmissionWebhookConfig extends ServiceSettings, WebhookSettings {
  readonly hashing: { readonly parameters: HashParameters; readonly parallel: number; readonly waiting: number };
}

/** 128 MiB by default. Node has four threads for this and for looking up names; above three, give it more by UV_THREADPOOL_SIZE. */
const DEFAULT_PARALLEL = 2;
/** About as many as are hashed within the ten seconds that kube-apiserver waits. */
const DEFAULT_WAITING = 100;
const MIB = 1024;

export const ADMISSION_WEBHOOK_FLAGS: readonly FlagDefinition[] = [
  ...WEBHOOK_FLAGS,
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
  const { memoryKib, iterations, parallelism } = DEFAULT_HASH_PARAMETERS;
  return {
    ...common,
    ...webhookSettings(settings),
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

import { bindAddress, type Env, type FlagDefinition, parseGoDuration, type ServiceSettings, type Settings } from '@harikube/platform';
import type { WatchdogSettings } from './function-server.js';
import { SMTP_KEYS, smtpSettings, SmtpSettingsError, type SmtpTexts } from './smtp-settings.js';

export interface EmailFunctionConfig extends ServiceSettings {
  readonly watchdog: WatchdogSettings;
  /** The folder of the files that go before `smtp`. */
  readonly secretsPath: string;
  readonly smtp: SmtpTexts;
  /** From the begin of a request. */
  readonly limits: { readonly sendMs: number; readonly answerMs: number };
}

const DEFAULT_TIMEOUT = '30s';
const DEFAULT_SMTP_TIMEOUT = '8s';
/** After the mail, for the status and the answer. */
const STATUS_MS = 1500;
const SECRETS_PATH = '/var/openfaas/secrets';
const LOCK_FILE = '/tmp/.lock';
const LONGEST_MS = 2 ** 31 - 1;

export const EMAIL_FUNCTION_FLAGS: readonly FlagDefinition[] = [
  { name: 'function-bind-address', help: 'where to serve the function: HOST:PORT, or :PORT for every interface', shownDefault: ':8080' },
  { name: 'port', env: ['port'], help: 'the port alone, as OpenFaaS gives it', shownDefault: '8080' },
  { name: 'read-timeout', env: ['read_timeout'], help: 'how long a request may take to arrive: 10s, or 10', shownDefault: DEFAULT_TIMEOUT },
  { name: 'write-timeout', env: ['write_timeout'], help: 'how long an answer may take', shownDefault: DEFAULT_TIMEOUT },
  { name: 'exec-timeout', env: ['exec_timeout'], help: 'how long the function may work; 0 = no limit', shownDefault: DEFAULT_TIMEOUT },
  {
    name: 'healthcheck-interval',
    env: ['healthcheck_interval'],
    help: 'how long requests are still answered after SIGTERM',
    shownDefault: 'write-timeout',
  },
  {
    name: 'max-inflight',
    env: ['max_inflight'],
    help: 'requests at once, beyond which the answer is 429; 0 = no limit',
    shownDefault: '0',
  },
  { name: 'suppress-lock', env: ['suppress_lock'], isSwitch: true, help: `write no ${LOCK_FILE}` },
  {
    name: 'secrets-path',
    help: 'the folder of smtp-host and the other files, which go before flags and environment',
    shownDefault: SECRETS_PATH,
  },
  {
    name: 'smtp-timeout',
    env: ['SMTP_TIMEOUT'],
    help: 'how long sending may take, below the timeout of the trigger',
    shownDefault: DEFAULT_SMTP_TIMEOUT,
  },
  { name: 'smtp-host', env: ['SMTP_HOST'], help: 'the server that takes the mails', shownDefault: 'localhost' },
  { name: 'smtp-port', env: ['SMTP_PORT'], help: 'its port', shownDefault: '587' },
  { name: 'smtp-username', env: ['SMTP_USERNAME'], help: 'who logs in, with SMTP_PASSWORD of the environment', shownDefault: 'nobody' },
  {
    name: 'smtp-use-tls',
    env: ['SMTP_USE_TLS'],
    help: 'true: TLS is required, by STARTTLS or on port 465 from the start',
    shownDefault: 'true',
  },
  { name: 'smtp-tls-mode', env: ['SMTP_TLS_MODE'], help: 'starttls, implicit or none, whatever the port', shownDefault: 'by smtp-use-tls' },
  { name: 'smtp-ca', env: ['SMTP_CA'], help: 'the authority of its certificate, as PEM', shownDefault: 'the public ones' },
];

export function emailFunctionConfig(settings: Settings, common: ServiceSettings, env: Env): EmailFunctionConfig {
  const writeTimeoutMs = duration(settings, 'write-timeout', DEFAULT_TIMEOUT);
  const execMs = duration(settings, 'exec-timeout', DEFAULT_TIMEOUT) || LONGEST_MS;
  const smtpMs = duration(settings, 'smtp-timeout', DEFAULT_SMTP_TIMEOUT) || LONGEST_MS;
  const answerMs = Math.min(execMs, smtpMs + STATUS_MS, LONGEST_MS);
  return {
    ...common,
    watchdog: {
      listen: listenAddress(settings),
      readTimeoutMs: duration(settings, 'read-timeout', DEFAULT_TIMEOUT),
      writeTimeoutMs,
      healthcheckIntervalMs: settings.has('healthcheck-interval') ? duration(settings, 'healthcheck-interval', '0s') : writeTimeoutMs,
      maxInFlight: settings.integer('max-inflight', 0, { least: 0, most: 1_000_000 }),
      lockFile: settings.boolean('suppress-lock') ? null : LOCK_FILE,
    },
    secretsPath: settings.text('secrets-path') ?? SECRETS_PATH,
    smtp: smtpTexts(settings, env),
    limits: { sendMs: Math.max(answerMs - STATUS_MS, Math.floor(answerMs / 2)), answerMs },
  };
}

function listenAddress(settings: Settings): WatchdogSettings['listen'] {
  const port = settings.integer('port', 8080, { least: 0, most: 65_535 });
  const listen = bindAddress(settings, 'function-bind-address', `:${port}`);
  if (listen === null && settings.text('function-bind-address') === '0')
    settings.refuse('--function-bind-address=0 would leave nothing to ask; write HOST:PORT');
  return listen ?? { host: '', port };
}

/** A Go duration, or as OpenFaaS has it a number of seconds. In milliseconds. */
function duration(settings: Settings, name: string, absent: string): number {
  const text = settings.text(name) ?? absent;
  const milliseconds = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : parseGoDuration(text);
  if (milliseconds === undefined || milliseconds < 0 || milliseconds > LONGEST_MS) {
    settings.refuse(`${settings.source(name)}=${text} is not usable; use a duration such as 10s or 1m, or seconds`);
    return 0;
  }
  return milliseconds;
}

function smtpTexts(settings: Settings, env: Env): SmtpTexts {
  const given = SMTP_KEYS.map((key) => [key, key === 'smtp-password' ? env['SMTP_PASSWORD'] : (settings.text(key) ?? undefined)] as const);
  const texts = Object.fromEntries(given.filter(([, text]) => text !== undefined)) as SmtpTexts;
  try {
    smtpSettings(texts);
  } catch (error) {
    if (!(error instanceof SmtpSettingsError)) throw error;
    settings.refuse(error.message);
  }
  return texts;
}

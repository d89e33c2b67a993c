import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isNativeError } from 'node:util/types';

/** `starttls`: the connection begins in plain text and is made safe before anything is said. `implicit`: TLS from the first byte. */
export type TlsMode = 'starttls' | 'implicit' | 'none';

/** How to reach the server that takes the mails. */
export interface SmtpSettings {
  readonly host: string;
  readonly port: number;
  /** Null: the server is not told who sends. */
  readonly login: { readonly username: string; readonly password: string } | null;
  readonly tls: TlsMode;
  /** PEM; null: the authorities that Node knows. */
  readonly authority: string | null;
}

/** The files of the secret, and what the environment gives in their place. */
export const SMTP_KEYS = ['smtp-host', 'smtp-port', 'smtp-username', 'smtp-password', 'smtp-use-tls', 'smtp-tls-mode', 'smtp-ca'] as const;

export type SmtpKey = (typeof SMTP_KEYS)[number];
export type SmtpTexts = Readonly<Partial<Record<SmtpKey, string>>>;

/** A sentence about a setting; it shows no password. */
export class SmtpSettingsError extends Error {
  override readonly name = 'SmtpSettingsError';
}

const DEFAULT_HOST = 'localhost';
const DEFAULT_PORT = 587;
/** The port on which servers expect TLS from the first byte. */
const IMPLICIT_TLS_PORT = 465;
const TLS_MODES: readonly TlsMode[] = ['starttls', 'implicit', 'none'];

/** Understands the texts of the settings; throws `SmtpSettingsError` for one that means nothing. */
export function smtpSettings(texts: SmtpTexts): SmtpSettings {
  const host = word(texts, 'smtp-host') ?? DEFAULT_HOST;
  if (/[\s\p{Cc}]/u.test(host)) throw new SmtpSettingsError('smtp-host is not the name or the address of one server');
  const port = portOf(word(texts, 'smtp-port'));
  const username = texts['smtp-username'] ?? '';
  return {
    host,
    port,
    login: username === '' ? null : { username, password: texts['smtp-password'] ?? '' },
    tls: tlsModeOf(word(texts, 'smtp-tls-mode'), word(texts, 'smtp-use-tls'), port),
    authority: word(texts, 'smtp-ca') ?? null,
  };
}

/**
 * The settings as they are at this moment: each key from its file in the folder, else from `given`. The kubelet replaces all files of a Secret at
 * once, so that they are read at each use. Rejects with `SmtpSettingsError` when a file is there and cannot be read, or means nothing.
 */
export async function loadSmtpSettings(folder: string, given: SmtpTexts): Promise<SmtpSettings> {
  const entries = await Promise.all(SMTP_KEYS.map(async (key) => [key, (await readIfThere(folder, key)) ?? given[key]] as const));
  return smtpSettings(Object.fromEntries(entries.filter(([, text]) => text !== undefined)));
}

async function readIfThere(folder: string, key: SmtpKey): Promise<string | undefined> {
  const file = join(folder, key);
  try {
    // An editor ends a file with a line break that nobody means.
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    const code = isNativeError(error) && 'code' in error ? String(error.code) : 'unknown';
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new SmtpSettingsError(`the setting ${file} cannot be read: ${code}`);
  }
}

/** Without blanks around it; empty is as good as absent. */
function word(texts: SmtpTexts, key: SmtpKey): string | undefined {
  const text = texts[key]?.trim();
  return text === '' ? undefined : text;
}

function portOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_PORT;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new SmtpSettingsError(`smtp-port=${text} is not a port; use 1 to 65535`);
  return port;
}

function tlsModeOf(mode: string | undefined, useTls: string | undefined, port: number): TlsMode {
  if (mode !== undefined) {
    const found = TLS_MODES.find((candidate) => candidate === mode.toLowerCase());
    if (found === undefined) throw new SmtpSettingsError(`smtp-tls-mode=${mode} is not usable; use ${TLS_MODES.join(', ')}`);
    return found;
  }
  switch (useTls?.toLowerCase() ?? 'true') {
    case 'true':
    case '1':
    case 'yes':
      return port === IMPLICIT_TLS_PORT ? 'implicit' : 'starttls';
    case 'false':
    case '0':
    case 'no':
      return 'none';
    default:
      throw new SmtpSettingsError(`smtp-use-tls=${useTls} is not usable; use true or false`);
  }
}

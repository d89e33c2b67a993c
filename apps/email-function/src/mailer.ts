import { isNativeError } from 'node:util/types';
import { traced } from '@harikube/platform';
import { createTransport, type SMTPTransportOptions } from 'nodemailer';
import type { FunctionMetrics } from './function-metrics.js';
import type { MailMessage } from './mail-message.js';
import { type SmtpSettings, SmtpSettingsError } from './smtp-settings.js';

/** How a try to send ended. A `reason` is for people and shows no password. */
export type SendOutcome =
  | { readonly outcome: 'accepted' }
  /** The server will never take this mail. */
  | { readonly outcome: 'refused'; readonly reason: string; readonly smtpCode?: number }
  /** Another try may succeed; whether this one did may be unknown. */
  | { readonly outcome: 'temporary'; readonly reason: string; readonly smtpCode?: number; readonly retryAfterSeconds: number };

/** How long each part of a conversation may take, in milliseconds; the whole of it is limited by the signal of the call. */
export interface SmtpLimits {
  readonly connectMs: number;
  readonly greetingMs: number;
  /** Without a word of the server. */
  readonly silenceMs: number;
}

export interface MailerOptions {
  readonly settings: () => Promise<SmtpSettings>;
  readonly limits: SmtpLimits;
  readonly metrics: FunctionMetrics;
}

/** What an error of nodemailer says beside its message. */
interface SmtpError extends Error {
  readonly code?: string;
  readonly command?: string;
  readonly responseCode?: number;
}

const RETRY_AFTER_SECONDS = 5;
/** A server that says "not now" means minutes rather than seconds. */
const RETRY_AFTER_REPLY_SECONDS = 30;
/** 5xx that are about the session, or about who is logged in, and not about this mail. */
const OF_THE_SESSION = new Set([503, 530, 534, 535, 538]);
const MAX_REASON = 1000;

/** Sends mails, each over a connection of its own. */
export class Mailer {
  readonly #options: MailerOptions;

  constructor(options: MailerOptions) {
    this.#options = options;
  }

  /** Tries once. Rejects only for errors that are no answer of the server, the network or the settings. */
  async send(mail: MailMessage, signal: AbortSignal): Promise<SendOutcome> {
    const { metrics } = this.#options;
    const stop = metrics.smtpDuration.startTimer();
    metrics.smtpInFlight.inc();
    let outcome: SendOutcome['outcome'] = 'temporary';
    try {
      const result = await traced({ name: 'smtp send', kind: 'client', isPart: true }, async (span) => {
        const tried = await this.#try(mail, signal);
        if (tried.outcome !== 'accepted') span.fail(tried.outcome);
        return tried;
      });
      ({ outcome } = result);
      return result;
    } finally {
      metrics.smtpInFlight.dec();
      stop({ outcome });
    }
  }

  async #try(mail: MailMessage, signal: AbortSignal): Promise<SendOutcome> {
    let settings: SmtpSettings;
    try {
      settings = await this.#options.settings();
    } catch (error) {
      if (!(error instanceof SmtpSettingsError)) throw error;
      return { outcome: 'temporary', reason: error.message, retryAfterSeconds: RETRY_AFTER_SECONDS };
    }
    const transport = createTransport(transportOptions(settings, this.#options.limits));
    try {
      await transport.sendMail({
        messageId: mail.messageId,
        date: mail.date,
        from: mail.from,
        to: mail.to,
        // Given and not taken from the headers: one Email goes to one mailbox, whatever an address looks like.
        envelope: { from: mail.from.address, to: [mail.to.address] },
        subject: mail.subject,
        text: mail.text,
        ...(mail.html === null ? {} : { html: mail.html }),
        headers: { 'Auto-Submitted': 'auto-generated' },
        xMailer: false,
        disableFileAccess: true,
        disableUrlAccess: true,
        signal,
      });
      return { outcome: 'accepted' };
    } catch (error) {
      if (!isNativeError(error)) throw error;
      return outcomeOf(error, settings.login?.password ?? '');
    } finally {
      transport.close();
    }
  }
}

function transportOptions({ host, port, login, tls, authority }: SmtpSettings, limits: SmtpLimits): SMTPTransportOptions {
  return {
    host,
    port,
    secure: tls === 'implicit',
    // Required or not used: TLS that is left out when somebody on the way takes it out protects nothing.
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    tls: { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(authority === null ? {} : { ca: authority }) },
    ...(login === null ? {} : { auth: { user: login.username, pass: login.password }, forceAuth: true }),
    connectionTimeout: limits.connectMs,
    dnsTimeout: limits.connectMs,
    greetingTimeout: limits.greetingMs,
    socketTimeout: limits.silenceMs,
    socketCloseTimeout: 1000,
  };
}

function outcomeOf(error: SmtpError, password: string): SendOutcome {
  const { code, command, responseCode: smtpCode } = error;
  const reason = readable(code === 'ETIMEDOUT' || code === 'EABORT' ? `no answer in time: ${error.message}` : error.message, password);
  const isOfMail = command === 'MAIL FROM' || command === 'RCPT TO' || command === 'DATA' || command === 'API';
  if (smtpCode !== undefined) {
    if (isOfMail && smtpCode >= 500 && smtpCode < 600 && !OF_THE_SESSION.has(smtpCode)) return { outcome: 'refused', reason, smtpCode };
    const retryAfterSeconds = isOfMail && smtpCode !== 421 ? RETRY_AFTER_REPLY_SECONDS : RETRY_AFTER_SECONDS;
    return { outcome: 'temporary', reason, smtpCode, retryAfterSeconds };
  }
  // Found without the server's help: an address that SMTP cannot carry, or more bytes than the server takes.
  if (isOfMail && (code === 'EENVELOPE' || code === 'EMESSAGE')) return { outcome: 'refused', reason };
  return { outcome: 'temporary', reason, retryAfterSeconds: RETRY_AFTER_SECONDS };
}

/** One line of bounded length without the password, which a server may repeat. */
function readable(message: string, password: string): string {
  const secrets = password === '' ? [] : [password, Buffer.from(password).toString('base64')];
  const text = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), message);
  return text.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, MAX_REASON);
}

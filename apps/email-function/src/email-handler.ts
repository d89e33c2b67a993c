import { isNativeError } from 'node:util/types';
import { Email, EMAILS, validateSpec } from '@harikube/crds';
import { type Clock, ConnectionError, ifFound, type KubeClient, StatusError } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import { AcceptedMails } from './accepted-mails.js';
import { BadRequestError, type EmailRequest, parseEmailRequest } from './email-request.js';
import { EmailStatusWriter, failureMessage } from './email-status-writer.js';
import type { FunctionMetrics, MailResult } from './function-metrics.js';
import { KeyedLock } from './keyed-lock.js';
import { mailOf } from './mail-message.js';
import type { Mailer, SendOutcome } from './mailer.js';

/** What a request is answered with. */
export interface FunctionAnswer {
  readonly code: number;
  readonly body: { readonly message: string; readonly to?: string; readonly subject?: string };
  /** When to come again. */
  readonly retryAfterSeconds?: number;
}

export interface EmailHandlerOptions {
  readonly client: KubeClient;
  readonly mailer: Mailer;
  readonly clock: Clock;
  readonly metrics: FunctionMetrics;
  readonly logger: Logger;
  /** From the begin of a request: when sending has to be over, and when the status has to be written. */
  readonly limits: { readonly sendMs: number; readonly answerMs: number };
}

/** Mails that the server took and whose status is not written; each is asked for again within seconds. */
const MAX_ACCEPTED = 10_000;
const RETRY_AFTER_SECONDS = 2;
/** How often an Email is read again that others change at the same moment. */
const MAX_READS = 5;
/** Added to the time that sending may take: times are written in whole seconds, and clocks differ. */
const CLAIM_SLACK_MS = 2000;
/** For so long who began to send has the Email, unless he says it anew: he may have been killed. */
const LONGEST_CLAIM_MS = 60_000;
/** How often he does: one of them may fail. */
const RENEW_MS = 20_000;
/** What a refusal repeats of invalid fields. */
const MAX_CAUSES = 8;

/**
 * Sends the mail of an Email once, as far as a server can be asked to: what repeats a mail has the same Message-ID. The status says that it is being
 * sent before it is, and says it again while that takes: another instance leaves the Email alone for as long as sending may take, but for no longer than
 * a minute after it was said last, since the one that said so may have been killed. A mail comes twice only when its sender is killed, or cannot reach
 * kube-apiserver for a minute while the mail is on its way.
 */
export class EmailHandler {
  readonly #options: EmailHandlerOptions;
  readonly #status: EmailStatusWriter;
  readonly #lock = new KeyedLock();
  readonly #accepted = new AcceptedMails(MAX_ACCEPTED);

  constructor(options: EmailHandlerOptions) {
    this.#options = options;
    this.#status = new EmailStatusWriter(options);
  }

  /** Goes on to its end when the caller has gone: a mail that is on its way cannot be called back. */
  async handle(body: Uint8Array): Promise<FunctionAnswer> {
    let request: EmailRequest;
    try {
      request = parseEmailRequest(body);
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      return this.#answer(null, 'invalid', { code: 400, body: { message: error.message } });
    }
    const { clock, limits } = this.#options;
    const sending = new AbortController();
    const answering = new AbortController();
    const cancels = [
      clock.setTimeout(() => sending.abort(new Error(`it took longer than ${limits.sendMs} ms`)), limits.sendMs),
      clock.setTimeout(() => answering.abort(new Error('the time of the request is over')), limits.answerMs),
    ];
    const key = `${request.namespace}/${request.name}`;
    let hasBegun = false;
    try {
      return await this.#lock.run(key, sending.signal, () => {
        hasBegun = true;
        return this.#send(request, sending.signal, answering.signal);
      });
    } catch (error) {
      if (hasBegun || !sending.signal.aborted) throw error;
      return this.#answer(request, 'temporary', later('another request for this Email is under way'));
    } finally {
      for (const cancel of cancels) cancel();
    }
  }

  async #send(request: EmailRequest, sending: AbortSignal, answering: AbortSignal): Promise<FunctionAnswer> {
    for (let reads = 1; ; reads++) {
      const answer = await this.#sendAsRead(request, sending, answering);
      if (answer !== 'changed') return answer;
      if (reads === MAX_READS) return this.#answer(request, 'temporary', later('the Email is changed all the time'));
    }
  }

  async #sendAsRead(request: EmailRequest, sending: AbortSignal, answering: AbortSignal): Promise<FunctionAnswer | 'changed'> {
    const { mailer, clock } = this.#options;
    let email: Email | null;
    try {
      email = await ifFound(this.#options.client.get(EMAILS, request.name, request.namespace, { signal: sending }));
    } catch (error) {
      if (!isOfApi(error) && !sending.aborted) throw error;
      return this.#answer(request, 'temporary', later('the Email cannot be read from the Kubernetes API'), error);
    }
    const isGone = email === null || (request.uid !== null && email.metadata.uid !== request.uid);
    if (email === null || isGone || email.metadata.deletionTimestamp !== undefined) {
      return this.#gone(request);
    }
    if (email.status?.sentTimestamp !== undefined) {
      return this.#answer(request, 'already_sent', { code: 200, body: { message: 'already sent', ...namesOf(email) } });
    }
    const invalid = validateSpec(Email, email);
    if (invalid.length > 0) {
      const reason = invalid
        .slice(0, MAX_CAUSES)
        .map(({ field, message }) => `${field}: ${message}`)
        .join('; ');
      await this.#status.failed(email, reason, answering);
      return this.#answer(request, 'invalid', { code: 400, body: { message: failureMessage(reason) } });
    }
    const mail = mailOf(email, new Date(clock.now()));
    const acceptedAt = this.#accepted.get(mail.messageId);
    if (acceptedAt !== undefined) return this.#recordSent(request, email, mail.messageId, acceptedAt, answering);
    const takenMs = this.#takenMs(email);
    if (takenMs > 0)
      return this.#answer(
        request,
        'temporary',
        later('the mail is being sent, or who sent it could not say how that ended', Math.ceil(takenMs / 1000)),
      );
    const claimed = await this.#status.sending(email, new Date(clock.now()), sending);
    if (claimed === 'changed') return claimed;
    if (claimed === 'gone') return this.#gone(request);
    if (claimed === 'unwritten') return this.#answer(request, 'temporary', later('the status of the Email cannot be written'));
    const sent = await this.#whileClaimed(claimed, sending, () => mailer.send(mail, sending));
    if (sent.outcome === 'accepted') return this.#recordSent(request, claimed, mail.messageId, undefined, answering);
    return this.#recordFailure(request, claimed, sent, answering);
  }

  /** Says again and again that the mail is being sent until it is. */
  async #whileClaimed<T>(email: Email, sending: AbortSignal, send: () => Promise<T>): Promise<T> {
    const over = new AbortController();
    const renewing = this.#renew(email, sending, AbortSignal.any([sending, over.signal]));
    try {
      return await send();
    } finally {
      over.abort();
      await renewing;
    }
  }

  /** Ends with the write that is under way: whatever is written of the Email afterwards comes after it. */
  async #renew(email: Email, sending: AbortSignal, over: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      await clock.sleep(RENEW_MS, over).catch(() => undefined);
      if (over.aborted) return;
      await this.#status.stillSending(email, new Date(clock.now()), sending);
    }
  }

  /** For how long the Email still belongs to whoever said that he sends it; 0: nobody does. A time to come is that of a clock that is wrong. */
  #takenMs({ status }: Email): number {
    const { clock, limits } = this.#options;
    const since = clock.now() - Date.parse(status?.sendingTimestamp ?? '');
    const longest = Math.min(limits.sendMs, LONGEST_CLAIM_MS) + CLAIM_SLACK_MS;
    return since > -CLAIM_SLACK_MS && since < longest ? longest - since : 0;
  }

  #gone(request: EmailRequest): FunctionAnswer {
    return this.#answer(request, 'gone', { code: 200, body: { message: 'nothing was sent: the Email is gone' } });
  }

  async #recordSent(
    request: EmailRequest,
    email: Email,
    messageId: string,
    acceptedAt: Date | undefined,
    signal: AbortSignal,
  ): Promise<FunctionAnswer> {
    const time = acceptedAt ?? new Date(this.#options.clock.now());
    // Before the first write, so that whatever becomes of this request the next one knows.
    this.#accepted.add(messageId, time);
    const written = await this.#status.sent(email, time, signal);
    if (written === 'unwritten') {
      return this.#answer(request, 'unrecorded', later('the mail was sent, and the status of the Email could not be written'));
    }
    this.#accepted.delete(messageId);
    return this.#answer(request, 'sent', { code: 200, body: { message: 'Email sent successfully', ...namesOf(email) } });
  }

  async #recordFailure(
    request: EmailRequest,
    email: Email,
    failure: Exclude<SendOutcome, { outcome: 'accepted' }>,
    signal: AbortSignal,
  ): Promise<FunctionAnswer> {
    const written = await this.#status.failed(email, failure.reason, signal);
    // Who asks may show the answer to others: it names nobody.
    const body = { message: failureMessage(failure.reason) };
    const { smtpCode } = failure;
    if (failure.outcome === 'temporary') {
      const { retryAfterSeconds } = failure;
      return this.#answer(request, 'temporary', { code: 503, body, retryAfterSeconds }, failure.reason, smtpCode);
    }
    // Nobody would know why, if the trigger did not come again.
    if (written === 'unwritten') return this.#answer(request, 'unrecorded', later(body.message), failure.reason, smtpCode);
    return this.#answer(request, 'refused', { code: 422, body }, failure.reason, smtpCode);
  }

  /** Counts and logs it: at the usual level nothing that names a person, which the words of a server may do. */
  #answer(request: EmailRequest | null, result: MailResult, answer: FunctionAnswer, cause?: unknown, smtpCode?: number): FunctionAnswer {
    const { metrics, logger } = this.#options;
    metrics.mails.inc({ result });
    const email = request === null ? {} : { email: `${request.namespace}/${request.name}` };
    const fields = { ...email, result, code: answer.code, ...(smtpCode === undefined ? {} : { smtpCode }) };
    if (result === 'temporary' || result === 'unrecorded' || result === 'refused') logger.warn('a mail was not dealt with', fields);
    else logger.info('a request was dealt with', fields);
    if (cause !== undefined) logger.debug('why a mail was not sent', { ...email, reason: isNativeError(cause) ? cause.message : cause });
    return answer;
  }
}

function namesOf({ spec }: Email): { readonly to: string; readonly subject: string } {
  return { to: spec.toAddress, subject: spec.subject };
}

function later(message: string, retryAfterSeconds = RETRY_AFTER_SECONDS): FunctionAnswer {
  return { code: 503, body: { message }, retryAfterSeconds };
}

function isOfApi(error: unknown): boolean {
  return error instanceof StatusError || error instanceof ConnectionError;
}

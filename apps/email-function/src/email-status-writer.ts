import { isNativeError } from 'node:util/types';
import { type Email, EMAILS, type EmailStatus } from '@harikube/crds';
import { type Clock, ConnectionError, ifFound, type KubeClient, StatusError } from '@harikube/kube';
import type { Logger } from '@harikube/platform';

export interface EmailStatusWriterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** `unwritten`: it is not known to be there; the same may be tried again. */
export type Written = 'written' | 'gone' | 'unwritten';

type StatusPatch = Readonly<Partial<Record<keyof EmailStatus, string | null>>>;

const FIELD_MANAGER = 'harikube-email-function';
const WAITS_MS = [100, 300, 900];

/** Writes what became of a mail into the status of its Email. */
export class EmailStatusWriter {
  readonly #options: EmailStatusWriterOptions;

  constructor(options: EmailStatusWriterOptions) {
    this.#options = options;
  }

  /**
   * Says that the mail is being sent: one at a time can, since nothing is written over what has changed. The Email as it is then; `changed`: it is to be
   * read again; `unwritten`: whether it is said is not known.
   */
  async sending(email: Email, time: Date, signal: AbortSignal): Promise<Email | 'changed' | 'gone' | 'unwritten'> {
    try {
      return await this.#patch(email, { sendingTimestamp: timestamp(time) }, signal);
    } catch (error) {
      if (error instanceof StatusError && error.isNotFound) return 'gone';
      if (error instanceof StatusError && error.isConflict) return 'changed';
      return this.#unwritten(email, error, signal);
    }
  }

  /** Says so of the Email as it is by now. A failure is no harm: it is said again. */
  async stillSending({ metadata }: Email, time: Date, signal: AbortSignal): Promise<void> {
    const { name = '', namespace, uid } = metadata;
    const patch = { metadata: { uid }, status: { sendingTimestamp: timestamp(time) } };
    try {
      await this.#options.client.patch(EMAILS, name, namespace, patch, patchOptions(signal));
    } catch (error) {
      if (!isOfApi(error) && !signal.aborted) throw error;
    }
  }

  async sent(email: Email, time: Date, signal: AbortSignal): Promise<Written> {
    const sentTimestamp = timestamp(time);
    return this.#write(email, { sentTimestamp, sendingTimestamp: null, errorMessage: null, errorTimestamp: null }, signal);
  }

  async failed(email: Email, reason: string, signal: AbortSignal): Promise<Written> {
    const errorTimestamp = timestamp(new Date(this.#options.clock.now()));
    return this.#write(email, { errorMessage: failureMessage(reason), errorTimestamp, sendingTimestamp: null }, signal);
  }

  async #write(email: Email, status: StatusPatch, signal: AbortSignal): Promise<Written> {
    const { client, clock } = this.#options;
    const { name = '', namespace, uid } = email.metadata;
    let known = email;
    for (let attempt = 0; ; attempt++) {
      try {
        if (attempt > 0) {
          await clock.sleep(WAITS_MS[attempt - 1] ?? 0, signal);
          const current = await ifFound(client.get(EMAILS, name, namespace, { signal }));
          if (current === null || current.metadata.uid !== uid) return 'gone';
          // Written by the try whose answer was lost, or by another replica.
          if (current.status?.sentTimestamp !== undefined) return 'written';
          known = { ...email, metadata: { ...email.metadata, resourceVersion: current.metadata.resourceVersion } };
        }
        await this.#patch(known, status, signal);
        return 'written';
      } catch (error) {
        if (error instanceof StatusError && error.isNotFound) return 'gone';
        if (isOfApi(error) && mayPass(error) && attempt < WAITS_MS.length && !signal.aborted) continue;
        return this.#unwritten(email, error, signal);
      }
    }
  }

  /** Only as it was read: another Email of the same name is not this one, and a mail that was sent stays sent. */
  #patch({ metadata }: Email, status: StatusPatch, signal: AbortSignal): Promise<Email> {
    const { name = '', namespace, generation, resourceVersion } = metadata;
    const patch = { metadata: { resourceVersion }, status: { lastGeneration: generation, ...status } };
    return this.#options.client.patch(EMAILS, name, namespace, patch, patchOptions(signal));
  }

  #unwritten({ metadata }: Email, error: unknown, signal: AbortSignal): 'unwritten' {
    if (!isOfApi(error) && !signal.aborted) throw error;
    const reason = isNativeError(error) ? error.message : String(error);
    this.#options.logger.error('the status of an Email cannot be written', { email: `${metadata.namespace}/${metadata.name}`, reason });
    return 'unwritten';
  }
}

function patchOptions(signal: AbortSignal) {
  return { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER, signal } as const;
}

/** What the status says of a failure. */
export function failureMessage(reason: string): string {
  return `Failed to send email: ${reason}`;
}

function isOfApi(error: unknown): error is StatusError | ConnectionError {
  return error instanceof StatusError || error instanceof ConnectionError;
}

function mayPass(error: StatusError | ConnectionError): boolean {
  return error instanceof ConnectionError || error.code >= 500 || error.isConflict || error.isTooManyRequests;
}

/** As Kubernetes writes times: whole seconds. */
function timestamp(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}

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

  async sent(email: Email, time: Date, signal: AbortSignal): Promise<Written> {
    const sentTimestamp = timestamp(time);
    return this.#write(email, { sentTimestamp, errorMessage: null, errorTimestamp: null }, signal);
  }

  async failed(email: Email, reason: string, signal: AbortSignal): Promise<Written> {
    const errorTimestamp = timestamp(new Date(this.#options.clock.now()));
    return this.#write(email, { errorMessage: failureMessage(reason), errorTimestamp }, signal);
  }

  async #write(email: Email, status: StatusPatch, signal: AbortSignal): Promise<Written> {
    const { client, clock, logger } = this.#options;
    const { name = '', namespace, uid, generation } = email.metadata;
    let { resourceVersion } = email.metadata;
    for (let attempt = 0; ; attempt++) {
      try {
        if (attempt > 0) {
          await clock.sleep(WAITS_MS[attempt - 1] ?? 0, signal);
          const current = await ifFound(client.get(EMAILS, name, namespace, { signal }));
          if (current === null || current.metadata.uid !== uid) return 'gone';
          // Written by the try whose answer was lost, or by another replica.
          if (current.status?.sentTimestamp !== undefined) return 'written';
          ({ resourceVersion } = current.metadata);
        }
        // Only as it was read: another Email of the same name is not this one, and a mail that was sent stays sent.
        const patch = { metadata: { resourceVersion }, status: { lastGeneration: generation, ...status } };
        const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER, signal } as const;
        await client.patch(EMAILS, name, namespace, patch, options);
        return 'written';
      } catch (error) {
        const isOfApi = error instanceof StatusError || error instanceof ConnectionError;
        if (!isOfApi && !signal.aborted) throw error;
        if (error instanceof StatusError && error.isNotFound) return 'gone';
        if (isOfApi && mayPass(error) && attempt < WAITS_MS.length && !signal.aborted) continue;
        const reason = isNativeError(error) ? error.message : String(error);
        logger.error('the status of an Email cannot be written', { email: `${namespace}/${name}`, reason });
        return 'unwritten';
      }
    }
  }
}

/** What the status says of a failure. */
export function failureMessage(reason: string): string {
  return `Failed to send email: ${reason}`;
}

function mayPass(error: StatusError | ConnectionError): boolean {
  return error instanceof ConnectionError || error.code >= 500 || error.isConflict || error.isTooManyRequests;
}

/** As Kubernetes writes times: whole seconds. */
function timestamp(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}

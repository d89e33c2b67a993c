/**
 * A mail server for this machine alone: it takes every mail, sends none of them on, and shows them in a browser. It stands in for a real server where none
 * is configured.
 */
import type { Logger } from '@harikube/platform';
import { startMailBoxServer } from './mail-box-server.js';
import { startMailReceiver } from './mail-receiver.js';
import { MailStore } from './mail-store.js';

export interface MailCatcherOptions {
  /** Of the mails; made when there is none. */
  readonly folder: string;
  /** 0: the system picks one. */
  readonly smtpPort: number;
  readonly httpPort: number;
  readonly logger: Logger;
}

export interface MailCatcher {
  readonly smtpPort: number;
  readonly httpPort: number;
  /** Of the page with the box. */
  readonly url: string;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';

/** Listens on 127.0.0.1 only. Throws `SetupError` with a sentence when a port is in use. */
export async function startMailCatcher({ folder, smtpPort, httpPort, logger }: MailCatcherOptions): Promise<MailCatcher> {
  const store = await MailStore.open(folder);
  const receiver = await startMailReceiver({ host: HOST, port: smtpPort, store, logger });
  try {
    const box = await startMailBoxServer({ host: HOST, port: httpPort, store, logger });
    return {
      smtpPort: receiver.port,
      httpPort: box.port,
      url: `http://${HOST}:${box.port}/`,
      close: async () => {
        await receiver.close();
        await box.close();
      },
    };
  } catch (error) {
    await receiver.close();
    throw error;
  }
}

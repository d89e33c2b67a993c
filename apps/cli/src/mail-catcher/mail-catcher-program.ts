import {
  bindAddress,
  type RunningService,
  type ServiceContext,
  serviceProgram,
  type ServiceSettings,
  type Settings,
} from '@harikube/platform';
import { explainFileError } from '@harikube/local-cluster';
import { type MailCatcher, startMailCatcher } from './mail-catcher.js';

interface MailCatcherConfig extends ServiceSettings {
  readonly folder: string;
  readonly smtpPort: number;
  readonly httpPort: number;
}

const NAME = 'mail-catcher';
const DEFAULT_SMTP = '127.0.0.1:1025';
const DEFAULT_HTTP = '127.0.0.1:8025';

export const mailCatcherProgram = serviceProgram<MailCatcherConfig>({
  name: NAME,
  summary: 'takes every mail that is sent on this machine, and shows them in a browser',
  flags: [
    { name: 'mail-folder', help: 'where the mails are kept, a file each' },
    { name: 'smtp-bind-address', help: 'where mails are taken, on 127.0.0.1', shownDefault: DEFAULT_SMTP },
    { name: 'http-bind-address', help: 'where they are shown, on 127.0.0.1', shownDefault: DEFAULT_HTTP },
  ],
  configure: (settings, common) => {
    const folder = settings.text('mail-folder');
    if (folder === null) settings.refuse('--mail-folder is not given; name the folder for the mails');
    return {
      ...common,
      folder: folder ?? '',
      smtpPort: localPort(settings, 'smtp-bind-address', DEFAULT_SMTP),
      httpPort: localPort(settings, 'http-bind-address', DEFAULT_HTTP),
    };
  },
  start,
});

/** Mails are private: nobody but this machine sends or reads them here. */
function localPort(settings: Settings, name: string, absent: string): number {
  const address = bindAddress(settings, name, absent);
  if (settings.text(name) === '0' || (address !== null && !['127.0.0.1', 'localhost'].includes(address.host)))
    settings.refuse(`${settings.source(name)}=${settings.text(name)} is not on this machine alone; write 127.0.0.1:PORT`);
  return address?.port ?? 0;
}

async function start({ folder, smtpPort, httpPort }: MailCatcherConfig, { logger }: ServiceContext): Promise<RunningService> {
  let catcher: MailCatcher;
  try {
    catcher = await startMailCatcher({ folder, smtpPort, httpPort, logger });
  } catch (error) {
    throw explainFileError(error, folder);
  }
  logger.info('catching mails', { smtpPort: catcher.smtpPort, url: catcher.url, folder });
  return { checks: { live: () => [], ready: () => [] }, close: () => catcher.close() };
}

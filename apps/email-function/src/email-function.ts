import { KubeClient, systemClock } from '@harikube/kube';
import { type RunningService, type ServiceContext, serviceProgram } from '@harikube/platform';
import { EMAIL_FUNCTION_FLAGS, type EmailFunctionConfig, emailFunctionConfig } from './email-function.config.js';
import { EmailHandler } from './email-handler.js';
import { FunctionMetrics } from './function-metrics.js';
import { type FunctionServer, startFunctionServer } from './function-server.js';
import { Mailer } from './mailer.js';
import { loadSmtpSettings, SmtpSettingsError } from './smtp-settings.js';

const NAME = 'email-function';
/** Of one part of a conversation; the whole of it has its own limit. */
const CONNECT_MS = 5000;
const GREETING_MS = 5000;
const SILENCE_MS = 7000;

export const emailFunctionProgram = serviceProgram<EmailFunctionConfig>({
  name: NAME,
  summary: 'sends the mail of an Email that is posted to it, and writes its status',
  flags: EMAIL_FUNCTION_FLAGS,
  configure: emailFunctionConfig,
  start,
});

async function start(config: EmailFunctionConfig, { logger, registry }: ServiceContext): Promise<RunningService> {
  const { limits, secretsPath, smtp, watchdog } = config;
  const client = KubeClient.fromConfig({
    kubeconfig: config.kubeconfig ?? undefined,
    userAgent: `harikube-${NAME}`,
    registry,
    deadlineMs: limits.answerMs,
  });
  const metrics = new FunctionMetrics(registry);
  const settings = (): ReturnType<typeof loadSmtpSettings> => loadSmtpSettings(secretsPath, smtp);
  const mailer = new Mailer({ settings, limits: { connectMs: CONNECT_MS, greetingMs: GREETING_MS, silenceMs: SILENCE_MS }, metrics });
  const handler = new EmailHandler({ client, mailer, clock: systemClock, metrics, logger, limits });
  let server: FunctionServer;
  try {
    server = await startFunctionServer({
      settings: watchdog,
      invoke: (body) => handler.handle(body),
      metrics,
      clock: systemClock,
      logger,
    });
  } catch (error) {
    await client.close();
    throw error;
  }
  logger.info('serving the function', { port: server.port });
  return {
    checks: {
      live: () => [],
      ready: () => [
        {
          name: NAME,
          isCritical: true,
          check: () => {
            if (!server.isAccepting) throw new Error('it is ending');
          },
        },
        {
          name: 'smtp-settings',
          isCritical: false,
          check: async () => {
            try {
              await settings();
            } catch (error) {
              throw error instanceof SmtpSettingsError ? error : new Error('the settings cannot be read');
            }
          },
        },
      ],
    },
    close: async () => {
      await server.close();
      await client.close();
    },
  };
}

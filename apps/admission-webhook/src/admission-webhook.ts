import { AdmissionHandler, AdmissionMetrics, type AdmissionServer, startAdmissionServer } from '@harikube/admission';
import { EMAIL_CLAIMS, HTTP_TRIGGERS, REGISTRATION_REQUESTS, TENANTS, USERS } from '@harikube/crds';
import { InformerFactory, KubeClient } from '@harikube/kube';
import {
  type HealthChecks,
  type RunningService,
  type ServiceContext,
  serviceProgram,
  TlsFiles,
  watchCertificate,
} from '@harikube/platform';
import { ADMISSION_WEBHOOK_FLAGS, type AdmissionWebhookConfig, admissionWebhookConfig } from './admission-webhook.config.js';
import { HashMetrics } from './hash-metrics.js';
import { HTTPTriggerAdmission } from './http-trigger-admission.js';
import { platformAccounts } from './kept-metadata.js';
import { HashBounds } from './password-hash.js';
import { PasswordHasher } from './password-hasher.js';
import { RegistrationRequestAdmission } from './registration-request-admission.js';
import { TenantAdmission } from './tenant-admission.js';
import { UserAdmission } from './user-admission.js';

const NAME = 'admission-webhook';

export const admissionWebhookProgram = serviceProgram<AdmissionWebhookConfig>({
  name: NAME,
  summary: 'judges and completes what is written: registrations, tenants, users, triggers; hashes passwords',
  flags: ADMISSION_WEBHOOK_FLAGS,
  configure: admissionWebhookConfig,
  start,
});

async function start(config: AdmissionWebhookConfig, { logger, registry }: ServiceContext): Promise<RunningService> {
  const tls = TlsFiles.load({ ...config.tls, logger });
  const client = KubeClient.fromConfig({ kubeconfig: config.kubeconfig ?? undefined, userAgent: `harikube-${NAME}`, registry });
  const informers = new InformerFactory(client, { logger, registry });
  const claims = informers.informer(EMAIL_CLAIMS);
  const metrics = new HashMetrics(registry);
  const accounts = platformAccounts(config.namespace);
  const bounds = new HashBounds(config.hashing.parameters);
  const hasher = new PasswordHasher({
    ...config.hashing,
    onChange: ({ running, waiting }) => {
      metrics.running.set(running);
      metrics.waiting.set(waiting);
    },
    onRefusal: () => metrics.refused.inc(),
  });
  const handler = new AdmissionHandler({
    admissions: [
      [
        REGISTRATION_REQUESTS,
        new RegistrationRequestAdmission({
          accounts,
          bounds,
          hasher,
          // Before the first list it knows of none.
          isClaimed: (name) => claims.get(name) !== undefined,
        }),
      ],
      [TENANTS, new TenantAdmission(accounts)],
      [USERS, new UserAdmission({ accounts, bounds })],
      [HTTP_TRIGGERS, new HTTPTriggerAdmission()],
    ],
    metrics: new AdmissionMetrics(registry),
    logger,
  });
  let server: AdmissionServer;
  try {
    server = await startAdmissionServer({ listen: config.listen, tls, handler, logger });
  } catch (error) {
    await client.close();
    throw error;
  }
  logger.info('serving the admission webhook', { port: server.port });
  const stop = new AbortController();
  tls.start(stop.signal);
  watchCertificate(registry, NAME, () => tls.pair.cert);
  // Ends with the signal alone: what it cannot read it asks for again.
  const informed = informers.run(stop.signal);
  const checks: HealthChecks = {
    live: () => [],
    ready: () => [
      {
        name: NAME,
        isCritical: true,
        check: () => {
          if (!server.isListening) throw new Error('it does not listen');
        },
      },
      {
        name: 'email-claims',
        isCritical: false,
        check: () => {
          if (!claims.isSynced) throw new Error('the claims are not read yet: that an address is taken is said later, by the controller');
        },
      },
    ],
  };
  return {
    checks,
    close: async () => {
      await server.close();
      stop.abort();
      await informed;
      await client.close();
    },
  };
}

import {
  AdmissionHandler,
  AdmissionMetrics,
  type AdmissionServer,
  startAdmissionServer,
  type WebhookOfKind,
  type WebhookSettings,
} from '@harikube/admission';
import { TOPOLOGY_CONFIGS } from '@harikube/crds';
import type { KubeClient } from '@harikube/kube';
import { type Logger, type Registry, TlsFiles, watchCertificate } from '@harikube/platform';
import { KubeTopologyObjects } from './kube-topology-objects.js';
import type { JudgingRouter } from './router-inquiry.js';
import { TopologyConfigAdmission } from './topology-config-admission.js';

export interface TopologyWebhookOptions {
  readonly settings: WebhookSettings;
  readonly client: KubeClient;
  /** Null: the operator was not told of one. */
  readonly router: JudgingRouter | null;
  readonly logger: Logger;
  readonly registry: Registry;
}

/** What kube-apiserver is to ask. Nothing but TopologyConfigs is refused when nobody answers. */
export const TOPOLOGY_WEBHOOKS: readonly WebhookOfKind[] = [
  {
    does: 'validate',
    resource: TOPOLOGY_CONFIGS,
    operations: ['CREATE', 'UPDATE', 'DELETE'],
    failurePolicy: 'Fail',
    timeoutSeconds: 10,
  },
];

/** Serves the webhook; every instance of the operator does, whether it leads or not. Throws `ConfigError` when there is no certificate. */
export async function startTopologyWebhook({
  settings,
  client,
  router,
  logger,
  registry,
}: TopologyWebhookOptions): Promise<AdmissionServer> {
  const tls = TlsFiles.load({ ...settings.tls, logger });
  const handler = new AdmissionHandler({
    admissions: [[TOPOLOGY_CONFIGS, new TopologyConfigAdmission({ objects: new KubeTopologyObjects(client), router })]],
    metrics: new AdmissionMetrics(registry),
    logger,
  });
  const server = await startAdmissionServer({ listen: settings.listen, tls, handler, logger });
  logger.info('serving the admission webhook', { port: server.port });
  tls.start();
  watchCertificate(registry, 'topology-operator', () => tls.pair.cert);
  return {
    port: server.port,
    get isListening() {
      return server.isListening;
    },
    close: async () => {
      await server.close();
      tls.close();
    },
  };
}

import type { AdmissionServer } from '@harikube/admission';
import { TOPOLOGY_CONFIGS, type TopologyConfig } from '@harikube/crds';
import { InformerFactory, KubeClient, leaseNameOf, systemClock } from '@harikube/kube';
import { type HealthChecks, type RunningService, type ServiceContext, serviceProgram } from '@harikube/platform';
import { Controller, ControllerManager, EventRecorder, type Key, startManager } from '@harikube/reconcilers';
import { startTopologyWebhook } from './admission/topology-webhook.js';
import { NAME } from './manifests.js';
import { NamedSecrets } from './named-secrets.js';
import { OperatorMetrics } from './operator-metrics.js';
import { TargetReconciler } from './target.reconciler.js';
import { targetNameOf, TOPOLOGY_OPERATOR_FLAGS, type TopologyOperatorConfig, topologyOperatorConfig } from './topology-operator.config.js';

/** Data cannot be written where it belongs before a TopologyConfig is Active: nobody is to wait longer than this after a failure. */
const LONGEST_RETRY_MS = 10_000;

export const topologyOperatorProgram = serviceProgram<TopologyOperatorConfig>({
  name: NAME,
  summary: 'merges TopologyConfigs into the Secret that the router reads, and says what is in force',
  flags: TOPOLOGY_OPERATOR_FLAGS,
  configure: topologyOperatorConfig,
  start,
});

async function start(config: TopologyOperatorConfig, { logger, registry }: ServiceContext): Promise<RunningService> {
  const { kubeconfig, namespace, leaderElect, router, targets, workers, webhook: settings } = config;
  const clock = systemClock;
  const client = KubeClient.fromConfig({ kubeconfig: kubeconfig ?? undefined, userAgent: `harikube-${NAME}`, registry });
  const informers = new InformerFactory(client, { logger, registry });
  const configs = informers.informer(TOPOLOGY_CONFIGS);
  configs.addIndex('target', ({ spec }) => [spec.targetSecret]);
  const events = new EventRecorder({ client, reportingController: `harikube.info/${NAME}`, logger });
  const metrics = new OperatorMetrics(registry);
  const leaderElection = leaderElect ? { client, namespace, name: leaseNameOf(NAME) } : undefined;
  const manager = new ControllerManager({ informers, logger, registry, leaderElection });
  manager.add({
    name: NAME,
    run: async (signals) => {
      // Only who leads follows Secrets.
      const secrets = new NamedSecrets({ client, clock, logger });
      const reconciler = new TargetReconciler({ client, configs, secrets, targets, router, events, metrics, clock });
      const controller = new Controller({
        name: NAME,
        concurrency: workers,
        longestRetryMs: LONGEST_RETRY_MS,
        logger,
        registry,
        reconciler,
        sources: [{ informer: configs, mapTo: targetKeys }, { informer: secrets }],
      });
      for (const target of targets) secrets.follow(target, [target]);
      try {
        await controller.run(signals);
      } finally {
        await secrets.close();
      }
    },
  });
  const end = async (): Promise<void> => {
    await events.close();
    await client.close();
  };
  let webhook: AdmissionServer | null;
  try {
    webhook = settings === null ? null : await startTopologyWebhook({ settings, client, router, logger, registry });
  } catch (error) {
    await end();
    throw error;
  }
  const running = startManager(manager, async () => {
    // To the end: what the operator itself writes is judged, too.
    await webhook?.close();
    await end();
  });
  const isServing = (): void => {
    if (webhook?.isListening === false) throw new Error('it does not listen');
  };
  const ready: HealthChecks['ready'] = () => [
    ...running.checks.ready(),
    ...(webhook === null ? [] : [{ name: 'topology-webhook', isCritical: true, check: isServing }]),
  ];
  return { ...running, checks: { live: () => running.checks.live(), ready } };
}

function targetKeys({ spec }: TopologyConfig): Key[] {
  return [targetNameOf(spec.targetSecret) ?? []].flat();
}

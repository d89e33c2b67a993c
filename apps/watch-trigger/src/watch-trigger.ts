import { HTTP_TRIGGERS } from '@harikube/crds';
import { type KubeClient, ResourceDiscovery, resourceName, systemClock } from '@harikube/kube';
import { Controller, controllerProgram } from '@harikube/reconcilers';
import { AddressPolicy, type Endpoint } from './address-policy.js';
import { References } from './references.js';
import { SharedWatches } from './shared-watch.js';
import { StatusWriter } from './status-writer.js';
import { TriggerManager } from './trigger-manager.js';
import { TriggerMetrics } from './trigger-metrics.js';
import { TriggerSender } from './trigger-sender.js';
import { USER_AGENT } from './user-agent.js';
import { WATCH_TRIGGER_FLAGS, type WatchTriggerConfig, watchTriggerConfig } from './watch-trigger.config.js';

const NAME = 'watch-trigger';
/** What is being sent when the process is told to end may take so long. */
const END_GRACE_MS = 10_000;

export const watchTriggerProgram = controllerProgram<WatchTriggerConfig>({
  name: NAME,
  summary: 'sends what happens to objects to HTTP servers, as HTTPTriggers say',
  objects: 'triggers',
  flags: WATCH_TRIGGER_FLAGS,
  configure: watchTriggerConfig,
  setUp: ({ triggers: select, allowedTargets, policy }, { client, informers, events, common }) => {
    const { logger, registry } = common;
    const clock = systemClock;
    const random = Math.random;
    const metrics = new TriggerMetrics(registry);
    const triggers = informers.informer(HTTP_TRIGGERS, select);
    const addresses = new AddressPolicy({ allowedTargets, apiServers: apiServersOf(client) });
    const discovery = new ResourceDiscovery(client, { clock });
    const watches = new SharedWatches({
      client,
      clock,
      random,
      logger,
      onRestart: ({ resource }, reason) => metrics.watchRestarted(resourceName(resource), reason),
    });
    return {
      name: NAME,
      run: async ({ stop, abort }) => {
        const references = new References(client, { clock, logger });
        const statuses = new StatusWriter({ client, clock, logger, random, signal: abort });
        const manager = new TriggerManager({
          triggers,
          client,
          senderOf: (trigger) => new TriggerSender(trigger, { references, addresses, policy, clock, userAgent: USER_AGENT }),
          watches,
          discovery,
          statuses,
          metrics,
          events,
          clock,
          random,
          logger,
          allowsOtherNamespaces: policy.allowsOtherNamespaces,
        });
        const controller = new Controller({ ...common, reconciler: manager, sources: [{ informer: triggers }] });
        try {
          await controller.run({ stop, abort });
        } finally {
          await manager.close(END_GRACE_MS, abort);
          await references.close();
        }
      },
    };
  },
});

/** As this program reaches it, and as pods do. */
function apiServersOf({ server }: KubeClient): Endpoint[] {
  const port = server.port === '' ? (server.protocol === 'https:' ? 443 : 80) : Number(server.port);
  return [
    { host: server.hostname.replace(/^\[(.*)\]$/, '$1'), port },
    { host: 'kubernetes.default.svc', port: 443 },
  ];
}

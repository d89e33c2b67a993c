import { InformerFactory, KubeClient, leaseNameOf } from '@harikube/kube';
import { type FlagDefinition, serviceProgram, type ServiceProgram, type ServiceSettings, type Settings } from '@harikube/platform';
import type { ControllerOptions } from './controller.js';
import { ControllerManager, type Managed } from './controller-manager.js';
import { EventRecorder } from './event-recorder.js';
import { startManager } from './start-manager.js';

/** What a controller is made of, beside its reconciler and its sources. */
export interface ControllerParts {
  readonly client: KubeClient;
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  /** Of the platform. */
  readonly namespace: string;
  /** To be handed on to the `Controller`. */
  readonly common: Pick<ControllerOptions<readonly []>, 'name' | 'concurrency' | 'longestRetryMs' | 'logger' | 'registry'>;
}

export interface ControllerProgramOptions<Config> {
  /** The command; the lease and who reports events are called after it. */
  readonly name: string;
  /** One line for the usage text. */
  readonly summary: string;
  /** What it works on, as the usage text calls them. */
  readonly objects: string;
  readonly flags?: readonly FlagDefinition[];
  /** Reads its own settings; what cannot be used is refused on `settings`. */
  configure(settings: Settings): Config;
  setUp(config: Config, parts: ControllerParts): Managed;
}

/** People wait for what is made: what failed while a server was away is not to be left alone for a quarter of an hour. */
const LONGEST_RETRY_MS = 10_000;
const WORKERS = 16;

/** A program that is one controller: its own flags beside those of every controller, its lease, its metrics, its end. */
export function controllerProgram<Config>(options: ControllerProgramOptions<Config>): ServiceProgram {
  const { name, summary, objects, flags = [] } = options;
  const workersFlag = {
    name: 'max-concurrent-reconciles',
    help: `how many ${objects} are worked on at once`,
    shownDefault: String(WORKERS),
  };
  return serviceProgram<ServiceSettings & { readonly own: Config; readonly workers: number }>({
    name,
    summary,
    flags: [...flags, workersFlag],
    configure: (settings, common) => ({
      ...common,
      own: options.configure(settings),
      workers: settings.integer(workersFlag.name, WORKERS, { least: 1, most: 1000 }),
    }),
    start: async ({ kubeconfig, namespace, leaderElect, own, workers }, { logger, registry }) => {
      const client = KubeClient.fromConfig({ kubeconfig: kubeconfig ?? undefined, userAgent: `harikube-${name}`, registry });
      const informers = new InformerFactory(client, { logger, registry });
      const events = new EventRecorder({ client, reportingController: `harikube.info/${name}`, logger });
      const leaderElection = leaderElect ? { client, namespace, name: leaseNameOf(name) } : undefined;
      const manager = new ControllerManager({ informers, logger, registry, leaderElection });
      const common = { name, concurrency: workers, longestRetryMs: LONGEST_RETRY_MS, logger, registry };
      manager.add(options.setUp(own, { client, informers, events, namespace, common }));
      return startManager(manager, async () => {
        await events.close();
        await client.close();
      });
    },
  });
}

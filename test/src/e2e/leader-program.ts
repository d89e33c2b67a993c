/** Leads, and writes all the time while it does, for tests that stop its process. Its argument is a JSON object. Exits with 7 when it has lost the lease. */
import { CONFIG_MAPS, KubeClient, LeaderElector } from '@harikube/kube';
import { createLogger } from '@harikube/platform';

export interface LeaderProgramArguments {
  readonly kubeconfig: string;
  /** Names in the namespace default. */
  readonly lease: string;
  readonly configMap: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

const { kubeconfig, lease, configMap, ...times } = JSON.parse(process.argv[2] ?? '') as LeaderProgramArguments;
const client = KubeClient.fromConfig({ kubeconfig, userAgent: 'leader-program' });
const logger = createLogger({ format: 'json', debug: false });
const elector = new LeaderElector({ client, namespace: 'default', name: lease, identity: 'program', logger, ...times });

const result = await elector.run(new AbortController().signal, async (signal) => {
  for (let writes = 0; ; writes++) {
    const patch = { data: { writes: String(writes) } };
    await client.patch(CONFIG_MAPS, configMap, 'default', patch, { type: 'merge', signal });
  }
});
process.exit(result === 'lost' ? 7 : 0);

import type { TopologySource } from '@harikube/datasources';
import type { Logger } from '@harikube/platform';
import { FileWatcher } from './file-watcher.js';
import { HttpWatcher } from './http-watcher.js';
import type { TopologyWatcher } from './topology-watcher.js';

export interface WatcherOptions {
  /** For a Secret. Null: the account of the pod, or the user's own file. */
  readonly kubeconfig: string | null;
  readonly logger: Logger;
}

/** What follows the source. The client of Kubernetes takes time and memory, and is loaded for a Secret alone. */
export async function watcherFor(source: TopologySource, { kubeconfig, logger }: WatcherOptions): Promise<TopologyWatcher> {
  switch (source.type) {
    case 'file':
      return new FileWatcher({ path: source.path, logger });
    case 'http':
      return new HttpWatcher({ url: source.url });
    case 'secret': {
      const { SecretWatcher } = await import('./secret-watcher.js');
      return new SecretWatcher({ ...source, kubeconfig, logger });
    }
  }
}

import {
  type BackendReport,
  parseTopologyDocuments,
  type ParseTopologyOptions,
  redactedTopologyText,
  TopologyError,
  type TopologyDocument,
  type TopologyManager,
  topologyVersion,
} from '@harikube/datasources';
import type {
  Logger,
  RouterAbandonRequest,
  RouterAbandonResult,
  RouterExplanation,
  RouterTopologyPlan,
  RouterTopologyState,
} from '@harikube/platform';
import { withoutTlsMaterial } from '../topology/tls-folder.js';
import type { TopologyReloader } from '../topology/topology-reloader.js';
import { AdminRequestError } from './admin-request.js';

export interface TopologyAdminOptions {
  readonly manager: Pick<TopologyManager, 'topology' | 'version' | 'plan' | 'abandon' | 'backends'>;
  readonly reloader: Pick<TopologyReloader, 'sourceVersion' | 'inForceSince' | 'failure' | 'retry'>;
  /** Without credentials; null: no source is configured. */
  readonly sourceName: string | null;
  readonly parse: ParseTopologyOptions;
  readonly logger: Logger;
}

/** What the admin API does, whatever carries its requests. */
export class TopologyAdmin {
  #reports: Promise<BackendReport[]> | null = null;

  constructor(private readonly options: TopologyAdminOptions) {}

  async state(): Promise<RouterTopologyState> {
    const { manager, reloader, sourceName } = this.options;
    const backends = await this.#backends();
    // Read together: a change in between would show one topology under the version of another.
    const { sourceVersion, inForceSince, failure } = reloader;
    return {
      version: manager.version,
      source: sourceName,
      sourceVersion,
      inForceSince: inForceSince.toISOString(),
      document: redactedTopologyText(manager.topology),
      ...(failure === null ? {} : { error: failure }),
      backends,
    };
  }

  /** What would come of the topology that these documents make; nothing is changed. */
  async plan(documents: readonly TopologyDocument[]): Promise<RouterTopologyPlan> {
    const { manager, parse } = this.options;
    const version = topologyVersion(documents);
    try {
      const topology = parseTopologyDocuments(withoutTlsMaterial(documents).documents, parse);
      return { version, check: [], ...(await manager.plan(topology)) };
    } catch (error) {
      if (!(error instanceof TopologyError)) throw error;
      return { version, check: error.problems, changes: [], moves: [], problems: [] };
    }
  }

  /** Throws `UnknownSubjectError`. */
  explain(subject: string): RouterExplanation {
    return this.options.manager.topology.explain(subject);
  }

  /** Gives up what a backend holds; only for somebody who knows how much that is. */
  async abandon({ backend, confirm }: RouterAbandonRequest): Promise<RouterAbandonResult> {
    const { manager, reloader, logger } = this.options;
    const report = (await manager.backends()).find(({ name, retiredAt }) => name === backend && retiredAt === undefined);
    if (report !== undefined && report.keys !== confirm) {
      const [holds, way] =
        report.keys === null
          ? ['cannot be asked how many keys it holds', 'confirm null to give up whatever they are']
          : [`holds ${report.keys} keys`, `confirm ${report.keys} to give them up`];
      throw new AdminRequestError(409, `backend "${backend}" ${holds}, and ${confirm} was confirmed; ${way}`);
    }
    const keys = await manager.abandon(backend);
    logger.warn('the keys of a backend are given up; its rule may go', { backend, keys });
    reloader.retry();
    return { backend, keys };
  }

  /** Keys are counted once for all who ask at the same time. */
  #backends(): Promise<BackendReport[]> {
    this.#reports ??= this.options.manager.backends().finally(() => (this.#reports = null));
    return this.#reports;
  }
}

import { type RouterAdminClient, RouterAdminError, type RouterBackendReport, type RouterTopologyState } from '@harikube/platform';
import { SECRET_SCHEME } from '@harikube/crds';
import { type DryRun, dryRun, type DryRunInput } from './router-dry-run.js';

/** Of `RouterAdminClient`, what judging takes. */
export type JudgingRouter = Pick<RouterAdminClient, 'address' | 'plan' | 'topology'>;

/** The router was not asked, or did not answer: a sentence. */
export interface NoAnswer {
  readonly unknown: string;
  /** There is nobody to ask, now or later. */
  readonly isForGood: boolean;
}

export interface RouterInquiryOptions {
  /** Null: the operator was not told of one. */
  readonly router: JudgingRouter | null;
  /** `namespace/name` of the Secret in question. */
  readonly target: string;
  readonly signal: AbortSignal;
  /** How long the router may take for everything together. */
  readonly patienceMs: number;
}

/** What the router says of one target while one request is judged. It is asked at most once for each thing, and its silence is an answer. */
export class RouterInquiry {
  readonly #options: RouterInquiryOptions;
  readonly #timeout: AbortSignal;
  #state: Promise<RouterTopologyState | NoAnswer> | null = null;

  constructor(options: RouterInquiryOptions) {
    this.#options = options;
    this.#timeout = AbortSignal.timeout(options.patienceMs);
  }

  /** What is in force, when it is what comes from this target. */
  state(): Promise<RouterTopologyState | NoAnswer> {
    this.#state ??= this.#load();
    return this.#state;
  }

  /** Of the backends in force, by their names. */
  async backends(): Promise<ReadonlyMap<string, RouterBackendReport> | NoAnswer> {
    const state = await this.state();
    if ('unknown' in state) return state;
    return new Map(state.backends.filter(({ retiredAt }) => retiredAt === undefined).map((report) => [report.name, report]));
  }

  async dryRun(input: DryRunInput): Promise<DryRun | NoAnswer> {
    const state = await this.state();
    if ('unknown' in state) return state;
    return this.#asked((router, signal) => dryRun(router, input, signal));
  }

  async #load(): Promise<RouterTopologyState | NoAnswer> {
    const { target } = this.#options;
    const state = await this.#asked((router, signal) => router.topology(signal));
    if ('unknown' in state || state.source === `${SECRET_SCHEME}${target}`) return state;
    const reads = state.source === null ? 'reads no topology' : `reads ${state.source}`;
    return { unknown: `the router ${reads}, not the Secret ${target}: nothing takes up what is merged into it`, isForGood: true };
  }

  async #asked<T>(ask: (router: JudgingRouter, signal: AbortSignal) => Promise<T>): Promise<T | NoAnswer> {
    const { router, signal, patienceMs } = this.#options;
    if (router === null) return { unknown: 'the operator is not told where the router answers', isForGood: true };
    try {
      return await ask(router, AbortSignal.any([signal, this.#timeout]));
    } catch (error) {
      if (error instanceof RouterAdminError) return { unknown: error.message, isForGood: false };
      if (this.#timeout.aborted && !signal.aborted)
        return { unknown: `the router at ${router.address} did not answer within ${patienceMs / 1000} seconds`, isForGood: false };
      throw error;
    }
  }
}

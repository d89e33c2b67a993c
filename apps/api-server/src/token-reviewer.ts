import { createHash } from 'node:crypto';
import { type Clock, type KubeClient, type KubeObject, type Resource, systemClock, TOKEN_REVIEWS } from '@harikube/kube';
import type { Logger } from '@harikube/platform';
import { ExpiringCache } from './expiring-cache.js';
import { withRetries } from './review-call.js';
import type { UserInfo } from './user-info.js';

interface TokenReview extends KubeObject {
  readonly spec: { readonly token: string };
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: {
      readonly username?: string;
      readonly uid?: string;
      readonly groups?: string[];
      readonly extra?: Record<string, string[]>;
    };
  };
}

const RESOURCE: Resource<TokenReview> = { ...TOKEN_REVIEWS, object: undefined };
const KNOWN_MS = 10_000;
const MAX_KNOWN = 4096;
const DEADLINE_MS = 10_000;

export interface TokenReviewerOptions {
  readonly client: Pick<KubeClient, 'create'>;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Asks kube-apiserver whose a bearer token is. */
export class TokenReviewer {
  readonly #options: Required<TokenReviewerOptions>;
  readonly #known: ExpiringCache<UserInfo>;

  constructor({ clock = systemClock, ...options }: TokenReviewerOptions) {
    this.#options = { ...options, clock };
    this.#known = new ExpiringCache(MAX_KNOWN, clock);
  }

  /** Null: nobody's, or it cannot be found out. A yes holds for ten seconds. */
  async review(token: string, signal: AbortSignal): Promise<UserInfo | null> {
    // The token itself is not kept.
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const { client, clock, logger } = this.#options;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
    let answer: TokenReview;
    try {
      answer = await withRetries(() => client.create(RESOURCE, { metadata: {}, spec: { token } }, { signal: limit }), clock, limit);
    } catch (err) {
      if (!signal.aborted) logger.warn('a token could not be reviewed', { err });
      return null;
    }
    const { authenticated = false, user } = answer.status ?? {};
    if (!authenticated || user?.username === undefined || user.username === '') return null;
    const found: UserInfo = { name: user.username, uid: user.uid ?? '', groups: user.groups ?? [], extra: user.extra ?? {} };
    this.#known.set(key, found, KNOWN_MS);
    return found;
  }
}

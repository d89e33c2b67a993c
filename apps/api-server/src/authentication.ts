import { createHash } from 'node:crypto';
import type { ApiRequest } from './exchange.js';
import { commonName, isClientOf, organizations } from './client-certificate.js';
import type { TokenReviewer } from './token-reviewer.js';
import type { TrustConfig } from './trust-config.js';
import { ANONYMOUS, ANONYMOUS_NAME, AUTHENTICATED, type UserInfo } from './user-info.js';

export interface Authenticated {
  readonly user: UserInfo;
  readonly by: 'front-proxy' | 'certificate' | 'token' | 'anonymous';
}

export interface AuthenticatorOptions {
  /** What is in force at this moment. */
  readonly trust: () => TrustConfig;
  readonly tokens: Pick<TokenReviewer, 'review'>;
  readonly allowsAnonymous: boolean;
  readonly now?: () => Date;
}

/**
 * Finds out who asks. In this order, the first that knows: the front proxy's headers, a client certificate, a bearer token. Headers that name a user
 * are believed from the front proxy alone; from anybody else they are as if they were not there.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Null: nobody that is known, and nobody unknown is let in. */
  async authenticate(request: Pick<ApiRequest, 'headers' | 'peer' | 'signal'>): Promise<Authenticated | null> {
    const { trust, tokens, allowsAnonymous, now = () => new Date() } = this.#options;
    const believed = trust();
    const { peer, headers } = request;
    if (peer !== null) {
      const isFrontProxy =
        isClientOf(peer, believed.frontProxyAuthorities, now()) &&
        (believed.allowedNames.length === 0 || believed.allowedNames.includes(commonName(peer.leaf)));
      if (isFrontProxy) {
        const user = userInHeaders(request, believed);
        if (user !== null) return { user: withAuthenticated(user), by: 'front-proxy' };
      }
      if (isClientOf(peer, believed.clientAuthorities, now())) {
        const fingerprint = createHash('sha256').update(peer.leaf.raw).digest('hex');
        const name = commonName(peer.leaf);
        const extra = { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] };
        if (name !== '') return { user: withAuthenticated({ name, uid: '', groups: organizations(peer.leaf), extra }), by: 'certificate' };
      }
    }
    const authorization = headers.get('authorization');
    if (authorization !== undefined) {
      const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
      // Wrong credentials are not as good as none: they are refused, and not taken for nobody's.
      if (token === undefined) return null;
      const user = await tokens.review(token, request.signal);
      return user === null ? null : { user: withAuthenticated(user), by: 'token' };
    }
    return allowsAnonymous ? { user: ANONYMOUS, by: 'anonymous' } : null;
  }
}

function userInHeaders({ headers }: Pick<ApiRequest, 'headers'>, trust: TrustConfig): UserInfo | null {
  const firstOf = (names: readonly string[]): string => names.map((name) => headers.get(name) ?? '').find((value) => value !== '') ?? '';
  const name = firstOf(trust.usernameHeaders);
  if (name === '') return null;
  const extra: Record<string, string[]> = {};
  for (const prefix of trust.extraHeaderPrefixes) {
    for (const header of headers.startingWith(prefix)) {
      const key = percentDecoded(header.slice(prefix.length));
      // Assigning to it would change what the object inherits.
      if (key === '__proto__') continue;
      extra[key] = [...(extra[key] ?? []), ...headers.all(header)];
    }
  }
  return { name, uid: firstOf(trust.uidHeaders), groups: trust.groupHeaders.flatMap((header) => headers.all(header)), extra };
}

/** What cannot be decoded is taken as it is. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** kube-apiserver's own callers come without groups. */
function withAuthenticated(user: UserInfo): UserInfo {
  if (user.name === ANONYMOUS_NAME || user.groups.includes(AUTHENTICATED)) return user;
  return { ...user, groups: [...user.groups, AUTHENTICATED] };
}

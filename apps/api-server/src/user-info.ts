/** Who asks, as Kubernetes describes him. */
export interface UserInfo {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export const MASTERS = 'system:masters';
export const AUTHENTICATED = 'system:authenticated';
const UNAUTHENTICATED = 'system:unauthenticated';
export const ANONYMOUS_NAME = 'system:anonymous';
export const ANONYMOUS: UserInfo = { name: ANONYMOUS_NAME, uid: '', groups: [UNAUTHENTICATED], extra: {} };

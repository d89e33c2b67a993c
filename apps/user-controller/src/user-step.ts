/**
 * What a User needs next, from what is there and nothing else.
 *
 * A password comes as a hash in an annotation or as a Secret of the User's name. The order in which the annotation moves loses nothing wherever it is
 * cut off: first the Secret holds the hash, then the annotation goes (that very value: a later one stays), and the status says what the Secret shows.
 */
import { type Condition, PASSWORD_ANNOTATION, type User } from '@harikube/crds';

/** A thing of the User's name: the User's own; free to be taken, since it was made for the User and nobody owns it; of the User that had the name before; of somebody else. */
export type Kinship = 'own' | 'free' | 'predecessor' | 'foreign';

export interface SecretView {
  readonly kinship: Kinship;
  /** Null: it holds no hash of a password. */
  readonly hash: string | null;
}

export interface UserView {
  readonly user: User;
  /** The namespace of the User; null: it is not there (any more). */
  readonly namespace: { readonly isTerminating: boolean; readonly tenant: string | null } | null;
  /** Account and rights that are missing or not as they should be. */
  readonly missingChildren: number;
  /** Names of account or rights that exist and belong to somebody else. */
  readonly conflicts: readonly string[];
  /** The Secret of the User's name, read from the API in this run; undefined: not read. */
  readonly secret: SecretView | null | undefined;
}

/** What the condition Ready says. */
export type Ready = Pick<Condition, 'status' | 'reason' | 'message'>;

export type UserStep =
  | { readonly do: 'nothing' }
  | { readonly do: 'say'; readonly ready: Ready; readonly hasPassword: boolean }
  | { readonly do: 'apply-children' }
  | { readonly do: 'read-secret' }
  | { readonly do: 'create-secret'; readonly hash: string }
  | { readonly do: 'replace-secret' }
  | { readonly do: 'apply-secret'; readonly hash: string }
  | { readonly do: 'remove-annotation'; readonly hash: string };

/** The PHC string of an argon2id hash. */
const ARGON2ID = /^\$argon2id\$v=19\$m=\d{1,8},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/;

export function nextStep(view: UserView): UserStep {
  const { user, namespace, secret } = view;
  if (user.metadata.deletionTimestamp !== undefined || namespace === null || namespace.isTerminating) return { do: 'nothing' };
  if (namespace.tenant === null) {
    const message = 'the namespace does not belong to a Tenant, so that the User has no rights in it';
    return not('NotOfTenant', message, user.status?.passwordRef !== undefined);
  }
  if (view.missingChildren > 0) return { do: 'apply-children' };
  if (secret === undefined) return { do: 'read-secret' };
  if (secret?.kinship === 'predecessor') return { do: 'replace-secret' };
  const isConflict = secret?.kinship === 'foreign';
  const hasPassword = secret !== null && !isConflict && secret.hash !== null;
  if (view.conflicts.length > 0) {
    return not('Conflict', `${view.conflicts.join(' and ')} exists and does not belong to this User; it is left as it is`, hasPassword);
  }
  if (isConflict) return not('Conflict', 'a Secret of this name exists and does not belong to this User; it is left as it is', false);
  const sent = user.metadata.annotations?.[PASSWORD_ANNOTATION];
  if (sent !== undefined) {
    if (!ARGON2ID.test(sent)) {
      return not('InvalidPassword', `the annotation ${PASSWORD_ANNOTATION} is not an argon2id hash in PHC form; write one`, hasPassword);
    }
    if (secret === null) return { do: 'create-secret', hash: sent };
    return secret.hash === sent && secret.kinship === 'own' ? { do: 'remove-annotation', hash: sent } : { do: 'apply-secret', hash: sent };
  }
  if (!hasPassword) {
    return not('PasswordMissing', `there is no password: write an argon2id hash into the annotation ${PASSWORD_ANNOTATION}`, false);
  }
  if (secret.kinship === 'free') return { do: 'apply-secret', hash: String(secret.hash) };
  return { do: 'say', ready: { status: 'True', reason: 'AccountReady', message: 'account, rights and password are there' }, hasPassword };
}

function not(reason: string, message: string, hasPassword: boolean): UserStep {
  return { do: 'say', ready: { status: 'False', reason, message }, hasPassword };
}

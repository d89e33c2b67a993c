/** A key of a Secret, as in `secret://namespace/name/key`. */
export interface SecretReference {
  readonly namespace: string;
  readonly name: string;
  readonly key: string;
}

export const SECRET_SCHEME = 'secret://';

/** Read by Go as well; without a backslash, so that it stands in a rule as it is. */
export const SECRET_REFERENCE =
  /^secret:[/][/]([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)[/]([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)[/]([-._A-Za-z0-9]+)$/u;

/** Null: the text is no reference, whatever it begins with. */
export function parseSecretReference(text: string): SecretReference | null {
  const [, namespace, name, key] = SECRET_REFERENCE.exec(text) ?? [];
  return namespace === undefined || name === undefined || key === undefined ? null : { namespace, name, key };
}

import { createHash } from 'node:crypto';

/** One text of a topology: a file, or a key of a Secret. */
export interface TopologyDocument {
  /** Documents are taken in the order of their names. */
  readonly name: string;
  readonly text: string;
}

/** The order in which documents are taken, of rules and in the version: by the code units of their names, as Kubernetes sorts a Secret's keys. */
export function inNameOrder<T extends { readonly name: string }>(documents: readonly T[]): T[] {
  return documents.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * The version of a topology: SHA-256 in hexadecimal of the names and texts of its documents, whatever order they are given in. Whoever writes
 * a Secret and whoever reads it find the same; every key of the Secret counts, files of TLS among them. A source of one text names it "".
 */
export function topologyVersion(documents: readonly TopologyDocument[]): string {
  const canonical = inNameOrder(documents).map(({ name, text }) => [name, text]);
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex');
}

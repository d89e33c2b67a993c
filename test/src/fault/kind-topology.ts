const GROUP_NAME = 'shop.example.com';

/** What the keys of all kinds begin with; the name of the kind follows. */
export const COMMON = `/registry/${GROUP_NAME}/`;

export interface KindBackend {
  readonly kind: string;
  /** A data source name. */
  readonly endpoint: string;
}

/** The text of a topology in which each of these kinds has a backend of its own, of the kind's name. */
export function kindTopology(backends: readonly KindBackend[]): string {
  const rules = backends.map(({ kind, endpoint }) => ({ name: kind, endpoint, customresource: { group: GROUP_NAME, kind } }));
  // JSON is YAML.
  return JSON.stringify({ backends: rules });
}

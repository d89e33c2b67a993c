/** JSON as it comes from the wire: what it holds is looked at before it is used. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is at a path of names; undefined where there is nothing, and nothing that is only inherited. */
export function valueAt(object: unknown, path: readonly string[]): unknown {
  let at = object;
  for (const name of path) {
    if (!isObject(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

export function textAt(object: unknown, path: readonly string[]): string | undefined {
  const value = valueAt(object, path);
  return typeof value === 'string' ? value : undefined;
}

/** The texts of a list; empty when there is no list. */
export function textsAt(object: unknown, path: readonly string[]): string[] {
  const value = valueAt(object, path);
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}

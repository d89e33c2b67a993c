/** Whether an object has everything that `part` has; lists are compared whole, and what others have added elsewhere does not matter. */
export function isPart(object: unknown, part: unknown): boolean {
  if (Array.isArray(part)) {
    return Array.isArray(object) && object.length === part.length && part.every((item, index) => isPart(object[index], item));
  }
  if (typeof part === 'object' && part !== null) {
    if (typeof object !== 'object' || object === null) return false;
    const fields = object as Readonly<Record<string, unknown>>;
    return Object.entries(part).every(([name, value]) => value === undefined || isPart(fields[name], value));
  }
  return object === part;
}

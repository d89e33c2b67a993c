import type { PatchOperation } from '../json-patch.js';

/** What an API server makes of the operations, by RFC 6902: it refuses what is not there. */
export function applyPatch(object: object, operations: readonly PatchOperation[]): Record<string, unknown> {
  const result = structuredClone(object) as Record<string, unknown>;
  for (const operation of operations) {
    const names = operation.path
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = names.pop() ?? '';
    let at: unknown = result;
    for (const name of names) at = memberOf(at, name, operation.path);
    if (Array.isArray(at) && last === '-' && operation.op === 'add') {
      at.push(structuredClone(operation.value));
      continue;
    }
    if (operation.op !== 'add') memberOf(at, last, operation.path);
    if (typeof at !== 'object' || at === null || Array.isArray(at)) throw new Error(`${operation.path} has no parent`);
    if (operation.op === 'remove') Reflect.deleteProperty(at, last);
    else Reflect.set(at, last, structuredClone(operation.value));
  }
  return result;
}

function memberOf(value: unknown, name: string, path: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) throw new Error(`${path} is not there`);
  return Reflect.get(value, name);
}

import type { KubeObject } from '@harikube/kube';

/** What is worked on: an object by its name. What happened to it is not said, since only its present state counts. */
export interface Key {
  readonly name: string;
  /** Absent for what has no namespace. */
  readonly namespace?: string;
}

export function keyOf({ metadata }: KubeObject): Key {
  const { name = '', namespace } = metadata;
  return namespace === undefined ? { name } : { name, namespace };
}

/** Equal for equal keys; neither part can hold a slash. */
export function keyText({ name, namespace = '' }: Key): string {
  return `${namespace}/${name}`;
}

import type { ObjectMeta } from '@harikube/kube';
import type { KindGroup } from './kind-group.js';

/** What every object of these kinds has; the schema of these three is Kubernetes' own. */
export abstract class CustomObject {
  apiVersion!: string;
  kind!: string;
  metadata!: ObjectMeta;
}

/** A class of which a schema is derived. Its constructor takes nothing: validation makes instances of it. */
export type SchemaClass<T extends object = object> = new () => T;

export interface Column {
  readonly name: string;
  /** As kubectl prints it: `date` becomes an age. */
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** Above 0: only with `-o wide`. */
  readonly priority?: number;
}

export interface KindOptions {
  readonly group: KindGroup;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly columns: readonly Column[];
  /** Paths below the object that a field selector may name, such as `spec.email`. */
  readonly selectable: readonly string[];
  readonly roles: RoleOptions;
}

/** Which of the built-in roles hold the ones of this kind, and who may read it at all. */
export interface RoleOptions {
  readonly viewer: 'aggregated' | 'separate' | 'none';
  readonly editor: 'aggregated' | 'separate' | 'none';
}

const kinds = new Map<SchemaClass, KindOptions>();

/** Declares a class to be a kind with a CustomResourceDefinition of its own; the kind's name is the class's. */
export function Kind(options: KindOptions) {
  return (target: SchemaClass): void => {
    kinds.set(target, options);
  };
}

export function kindOptions(target: SchemaClass): KindOptions | undefined {
  return kinds.get(target);
}

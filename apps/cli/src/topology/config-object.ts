import { DEFAULT_TARGET_SECRET, DEPLOY_ORDER_ANNOTATION, inDeployOrder } from '@harikube/crds';

export interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** A TopologyConfig as it was written, of a text or of the API: nothing is known about its fields. */
export interface ConfigObject {
  readonly plain: Readonly<Record<string, unknown>>;
  /** As messages name what it stands in: a file, or `TopologyConfig harikube/users`. */
  readonly file: string;
  /** Where a field stands, such as `spec.backends[2].name`, or what it would be in; null: not in a text. */
  readonly place: (path: string) => Place | null;
}

/** What is wrong, and where. */
export interface ConfigProblem {
  readonly file: string;
  /** Null: not in a text. */
  readonly line: number | null;
  readonly column: number | null;
  /** `spec.backends[2].customresource.group`; empty: the text itself. */
  readonly path: string;
  readonly message: string;
}

export function problemAt({ file, place }: Pick<ConfigObject, 'file' | 'place'>, path: string, message: string): ConfigProblem {
  const { line = null, column = null } = place(path) ?? {};
  return { file, line, column, path, message };
}

export function problemText({ file, line, column, path, message }: ConfigProblem): string {
  return `${file}${line === null ? '' : `:${line}:${column ?? 1}`}: ${path === '' ? '' : `${path}: `}${message}`;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function metadataOf({ plain }: ConfigObject): { readonly name: string; readonly namespace: string; readonly created: string } {
  const { name, namespace, creationTimestamp } = isRecord(plain['metadata']) ? plain['metadata'] : {};
  return { name: textOf(name), namespace: textOf(namespace), created: textOf(creationTimestamp) };
}

export function targetOf({ plain }: ConfigObject): string {
  const { targetSecret } = isRecord(plain['spec']) ? plain['spec'] : {};
  return textOf(targetSecret) || DEFAULT_TARGET_SECRET;
}

/** The place that the annotation asks for; with a problem when it asks for none that there is. */
export function pinIn({ plain }: ConfigObject): { readonly pin: number | null; readonly problem: string } {
  const { annotations } = isRecord(plain['metadata']) ? plain['metadata'] : {};
  const value = isRecord(annotations) ? annotations[DEPLOY_ORDER_ANNOTATION] : undefined;
  if (value === undefined || value === null) return { pin: null, problem: '' };
  if (typeof value !== 'string') return { pin: null, problem: 'is no text: write the number in quotes, as in "1"' };
  if (!/^[0-9]{1,9}$/.test(value)) return { pin: null, problem: `"${value}" is not usable; write a whole number from 0 to 999999999` };
  return { pin: Number(value), problem: '' };
}

/** The order in which the rules of a target are tried. What is only about to be made is the youngest. */
export function configsInOrder(configs: readonly ConfigObject[]): ConfigObject[] {
  const items = configs.map((config) => {
    const { name, namespace, created } = metadataOf(config);
    return { config, pin: pinIn(config).pin, created: created || '9', key: `${namespace}/${name}` };
  });
  return inDeployOrder(items).map(({ item }) => item.config);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

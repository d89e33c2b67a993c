import { notAcceptable } from './status-answer.js';

export const JSON_TYPE = 'application/json';
export const YAML_TYPE = 'application/yaml';
export const MEDIA_TYPES = [JSON_TYPE, YAML_TYPE] as const;

/** What an object is turned into before it is sent. */
export type Shape = 'object' | 'table' | 'metadata';

export interface Format {
  readonly mediaType: typeof JSON_TYPE | typeof YAML_TYPE;
  readonly shape: Shape;
}

export interface AcceptClause {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The clauses of an Accept header, the most wanted first; what is not wanted at all is left out. */
export function acceptClauses(header: string | undefined): AcceptClause[] {
  const text = header?.trim() ?? '';
  if (text === '') return [{ type: '*/*', parameters: new Map() }];
  return text
    .split(',')
    .map((clause) => {
      const [type = '', ...rest] = clause.split(';').map((part) => part.trim());
      const parameters = new Map(
        rest.map((part) => [part.split('=')[0]?.toLowerCase() ?? '', part.slice(part.indexOf('=') + 1).replaceAll('"', '')]),
      );
      const quality = Number(parameters.get('q') ?? 1);
      return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 1 : quality };
    })
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality);
}

/** How the answer is written; `shapes` are the ones that it can take. A clause that asks for another one is passed over. Throws 406. */
export function negotiate(header: string | undefined, shapes: readonly Shape[]): Format {
  for (const { type, parameters } of acceptClauses(header)) {
    const mediaType = mediaTypeOf(type);
    const shape = shapeOf(parameters);
    if (mediaType !== null && shape !== null && shapes.includes(shape)) return { mediaType, shape };
  }
  throw notAcceptable(MEDIA_TYPES);
}

/** Whether one of these is accepted; `types` in the order of the server's liking. */
export function acceptedType<T extends string>(header: string | undefined, types: readonly [T, ...T[]]): T {
  for (const { type } of acceptClauses(header)) {
    const found = types.find((candidate) => type === '*/*' || type === candidate || type === `${candidate.split('/')[0]}/*`);
    if (found !== undefined) return found;
  }
  throw notAcceptable(types);
}

/** For people who look at answers. */
export function isPretty(query: URLSearchParams, userAgent: string | undefined): boolean {
  const pretty = query.get('pretty');
  if (pretty !== null) return pretty === '' || pretty === 'true' || pretty === '1';
  return /^(curl|Wget|Mozilla)\//.test(userAgent ?? '');
}

function mediaTypeOf(type: string): Format['mediaType'] | null {
  if (type === JSON_TYPE || type === '*/*' || type === 'application/*') return JSON_TYPE;
  return type === YAML_TYPE ? YAML_TYPE : null;
}

function shapeOf(parameters: ReadonlyMap<string, string>): Shape | null {
  const as = parameters.get('as');
  if (as === undefined) return 'object';
  if (parameters.get('g') !== 'meta.k8s.io') return null;
  const version = parameters.get('v');
  if (as === 'Table' && (version === 'v1' || version === 'v1beta1')) return 'table';
  return as === 'PartialObjectMetadata' && version === 'v1' ? 'metadata' : null;
}

/** What a request is about, read from its method and its path as kube-apiserver reads them. */
export interface RequestInfo {
  /** Decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** `create` and the like for a resource; else the method in small letters. */
  readonly verb: string;
  /** Null: the path is about no resource, such as `/version`. */
  readonly resource: ResourceInfo | null;
}

export interface ResourceInfo {
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  /** The plural. */
  readonly resource: string;
  /** Empty: the object itself. */
  readonly subresource: string;
  /** Empty: the collection. */
  readonly name: string;
}

/** The path is no path: an escape that cannot be decoded, or bytes that belong to no path. */
export class PathError extends Error {
  override readonly name = 'PathError';
}

/**
 * Throws `PathError`. A path with empty or dotted segments is about no resource and is no other path's equal, so that nothing is found there.
 */
export function requestInfo(method: string, target: string): RequestInfo {
  const mark = target.indexOf('?');
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  const segments = rawPath.split('/').slice(1).map(decoded);
  const path = `/${segments.join('/')}`;
  const verb = method.toLowerCase();
  const isPlain = rawPath.startsWith('/') && segments.every((segment) => segment !== '' && segment !== '.' && segment !== '..');
  const [root, group, version, ...rest] = segments;
  if (!isPlain || root !== 'apis' || group === undefined || version === undefined || rest.length === 0)
    return { path, query, verb, resource: null };
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [resource = '', name = '', ...subresource] = namespaced ? rest.slice(2) : rest;
  return {
    path,
    query,
    verb: resourceVerb(method, name, query),
    resource: { group, version, namespace: namespaced ? (rest[1] ?? '') : '', resource, name, subresource: subresource.join('/') },
  };
}

function decoded(segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch {
    throw new PathError('the path has an escape that cannot be decoded');
  }
  // It would be another path as soon as somebody puts the segments together.
  if (text.includes('/')) throw new PathError('the path has an encoded slash');
  if (/[\u0000-\u001f\u007f]/.test(text)) throw new PathError('the path has control characters');
  return text;
}

function resourceVerb(method: string, name: string, query: URLSearchParams): string {
  switch (method) {
    case 'POST':
      return 'create';
    case 'GET':
    case 'HEAD': {
      const watch = query.get('watch');
      if (watch !== null && watch !== 'false' && watch !== '0') return 'watch';
      return name === '' ? 'list' : 'get';
    }
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return name === '' ? 'deletecollection' : 'delete';
    default:
      return method.toLowerCase();
  }
}

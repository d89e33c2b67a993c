import type { TopologyDocument } from '@harikube/datasources';
import type { RouterAbandonRequest } from '@harikube/platform';

/** A request that cannot be answered as it is; its message goes to the client. */
export class AdminRequestError extends Error {
  override readonly name = 'AdminRequestError';
  constructor(
    readonly status: 400 | 401 | 403 | 409 | 503,
    message: string,
  ) {
    super(message);
  }
}

/**
 * The documents of a plan: JSON `{"documents": [{"name", "text"}]}`, or YAML, whose documents are named `document 1` and on and keep the line
 * numbers of the whole. Throws `AdminRequestError`.
 */
export function planDocuments(contentType: string, body: string): TopologyDocument[] {
  if (!contentType.includes('json')) return yamlDocuments(body);
  const documents = fieldOf(parsed(body), 'documents');
  if (!Array.isArray(documents)) throw new AdminRequestError(400, '"documents" must be a list of {"name", "text"}');
  return documents.map((document: unknown, index) => {
    const [name, text] = [fieldOf(document, 'name'), fieldOf(document, 'text')];
    if (typeof name === 'string' && typeof text === 'string') return { name, text };
    throw new AdminRequestError(400, `"documents[${index}]" must have "name" and "text", both texts`);
  });
}

/** Throws `AdminRequestError`. */
export function abandonRequest(body: string): RouterAbandonRequest {
  const json = parsed(body);
  const [backend, confirm] = [fieldOf(json, 'backend'), fieldOf(json, 'confirm')];
  if (typeof backend !== 'string' || backend === '') throw new AdminRequestError(400, '"backend" must be the name of a backend');
  if (confirm === null || (typeof confirm === 'number' && Number.isSafeInteger(confirm) && confirm >= 0)) return { backend, confirm };
  throw new AdminRequestError(400, '"confirm" must be the number of keys that are given up, or null when they cannot be counted');
}

/** `---` at the begin of a line separates documents, whatever stands around it; what says nothing between two of them is none. */
function yamlDocuments(body: string): TopologyDocument[] {
  const texts: string[] = [];
  let lines = 0;
  for (const part of body.split(/^---(?=\s|$)/m)) {
    if (/^\s*[^\s#%]/m.test(part)) texts.push('\n'.repeat(lines) + part);
    lines += part.split('\n').length - 1;
  }
  const width = String(texts.length).length;
  const documents = texts.map((text, index) => ({ name: `document ${String(index + 1).padStart(width, '0')}`, text }));
  return documents.length > 0 ? documents : [{ name: 'document 1', text: body }];
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new AdminRequestError(400, `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function fieldOf(value: unknown, field: string): unknown {
  return value !== null && typeof value === 'object' ? (value as Readonly<Record<string, unknown>>)[field] : undefined;
}

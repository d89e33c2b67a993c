/** What is served to clients that speak no gRPC: probes and people. */
export interface HttpPage {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** By path; only GET is answered. A page never rejects. */
export type HttpPages = Readonly<Record<string, () => Promise<HttpPage>>>;

export interface HttpAnswer extends HttpPage {
  readonly headers: readonly (readonly [name: string, value: string])[];
}

const PLAIN_TEXT = 'text/plain; charset=utf-8';

export function hasPage(pages: HttpPages, target: string): boolean {
  return Object.hasOwn(pages, pathOf(target));
}

/** The answer that etcd's server gives (server/etcdserver/api/etcdhttp, v3.6). */
export async function answerPage(pages: HttpPages, method: string, target: string): Promise<HttpAnswer> {
  const page = hasPage(pages, target) ? pages[pathOf(target)] : undefined;
  if (page === undefined) return { status: 404, contentType: PLAIN_TEXT, body: '404 page not found\n', headers: [] };
  if (method !== 'GET') {
    return { status: 405, contentType: PLAIN_TEXT, body: 'Method Not Allowed\n', headers: [['allow', 'GET']] };
  }
  return { ...(await page()), headers: [] };
}

function pathOf(target: string): string {
  const query = target.indexOf('?');
  return query < 0 ? target : target.slice(0, query);
}

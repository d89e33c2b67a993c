import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import PostalMime from 'postal-mime';
import { SetupError } from '@harikube/local-cluster';
import { listenReason, type Logger } from '@harikube/platform';
import { boxPage, mailPage, messagePage, STYLE } from './mail-pages.js';
import { addressText, type CaughtMail, type MailStore } from './mail-store.js';

export interface MailBoxServerOptions {
  readonly host: string;
  /** 0: the system picks one. */
  readonly port: number;
  readonly store: MailStore;
  readonly logger: Logger;
}

export interface MailBoxServer {
  readonly port: number;
  close(): Promise<void>;
}

interface Page {
  readonly code: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

const MAILS_OF_A_PAGE = 50;
const HTML = 'text/html; charset=utf-8';
/** Nothing but what this server has itself; no scripts at all. */
const POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** A mail is a stranger's page: it may have a look of its own and pictures that it brought along, and can do nothing. */
const MAIL_POLICY =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/** A page of elsewhere that gives its own name the address of this machine is told nothing. */
const HOST = /^(?:127\.0\.0\.1|localhost)(?::\d{1,5})?$/i;

/** The box as pages for a browser on this machine. */
export async function startMailBoxServer({ host, port, store, logger }: MailBoxServerOptions): Promise<MailBoxServer> {
  const pages = new MailBoxPages(store);
  const server = createServer((request, response) => {
    answer(pages, request, response).catch((err: unknown) => {
      logger.error('a page cannot be shown', { path: request.url, err });
      if (response.headersSent) response.destroy();
      else send(request, response, message(500, 'Something went wrong', 'The log of the mail catcher says what.'));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new SetupError(`cannot show mails on ${host}:${port}: ${listenReason(error)}; choose another address`, { cause: error })),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(pages: MailBoxPages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  if (!HOST.test(request.headers.host ?? '')) {
    send(request, response, message(403, 'Not here', 'This page is for browsers on its own machine, at 127.0.0.1 or localhost.'));
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    send(request, response, message(405, 'Not possible', 'Mails can only be read here.'));
  } else {
    send(request, response, await pages.page(new URL(request.url ?? '/', 'http://localhost')));
  }
}

function send(request: IncomingMessage, response: ServerResponse, { code, type, body, headers = {} }: Page): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'content-security-policy': POLICY,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function message(code: number, title: string, text: string): Page {
  return { code, type: HTML, body: messagePage(title, text) };
}

class MailBoxPages {
  readonly #store: MailStore;

  constructor(store: MailStore) {
    this.#store = store;
  }

  async page({ pathname, searchParams }: URL): Promise<Page> {
    if (pathname === '/') return this.#box(searchParams.get('page') ?? '1');
    if (pathname === '/style.css') return { code: 200, type: 'text/css; charset=utf-8', body: STYLE };
    if (pathname === '/mails.json') return this.#json(searchParams);
    const [, id = '', part = ''] = /^\/mails\/([^/]+?)(\.eml|\/html)?$/.exec(pathname) ?? [];
    const mail = this.#store.get(decoded(id));
    const content = mail === undefined ? null : await this.#store.load(mail.id);
    if (mail === undefined || content === null) return message(404, 'Not found', 'There is no such page, or its mail has been removed.');
    if (part === '.eml') {
      const headers = { 'content-disposition': `attachment; filename="${mail.id}.eml"` };
      return { code: 200, type: 'message/rfc822', body: content, headers };
    }
    return part === '/html' ? htmlPart(content) : await shownMail(mail, content);
  }

  #box(asked: string): Page {
    const total = this.#store.size;
    const pages = Math.max(1, Math.ceil(total / MAILS_OF_A_PAGE));
    const page = Math.min(pages, /^\d{1,9}$/.test(asked) ? Math.max(1, Number(asked)) : 1);
    const mails = this.#store.list((page - 1) * MAILS_OF_A_PAGE, MAILS_OF_A_PAGE);
    return { code: 200, type: HTML, body: boxPage({ mails, total, page, pages }) };
  }

  #json(parameters: URLSearchParams): Page {
    const number = (name: string, absent: number): number => {
      const text = parameters.get(name) ?? '';
      return /^\d{1,9}$/.test(text) ? Number(text) : absent;
    };
    const mails = this.#store.list(number('offset', 0), number('limit', this.#store.size));
    return { code: 200, type: 'application/json', body: `${JSON.stringify({ total: this.#store.size, mails })}\n` };
  }
}

async function shownMail(mail: CaughtMail, content: Buffer): Promise<Page> {
  const parsed = await parsedMail(content);
  if (parsed === null) {
    const shown = { ...mail, date: '', cc: '', text: content.toString('latin1'), hasHtml: false, attachments: [] };
    return { code: 200, type: HTML, body: mailPage(shown) };
  }
  const { date = '', cc = [], text, html, attachments } = parsed;
  const body = mailPage({
    ...mail,
    date,
    cc: addressText(cc),
    text: text?.trim() ? text : null,
    hasHtml: html !== undefined,
    attachments: attachments.map(({ filename, mimeType, content: bytes }) => ({
      name: filename ?? '(without a name)',
      type: mimeType,
      bytes: typeof bytes === 'string' ? bytes.length : bytes.byteLength,
    })),
  });
  return { code: 200, type: HTML, body };
}

async function htmlPart(content: Buffer): Promise<Page> {
  const html = (await parsedMail(content))?.html;
  if (html === undefined) return message(404, 'Not found', 'This mail has no HTML.');
  return { code: 200, type: HTML, body: html, headers: { 'content-security-policy': MAIL_POLICY } };
}

/** Null: it is no mail, or one that is made to be hard to read. */
async function parsedMail(content: Buffer): Promise<Awaited<ReturnType<typeof PostalMime.parse>> | null> {
  try {
    return await PostalMime.parse(content);
  } catch {
    return null;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

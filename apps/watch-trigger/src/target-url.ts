import type { HTTPTrigger } from '@harikube/crds';
import type { KubeObject } from '@harikube/kube';
import { BoundedTemplate } from './bounded-template.js';
import { UnsendableError } from './unsendable-error.js';

const MAX_BYTES = 8192;

export interface TargetUrlOptions {
  /** Whether a template may say where requests go, and not only what for. */
  readonly allowsTemplatedHosts: boolean;
}

type Text = (object: KubeObject) => string;

/** Where the events of a trigger go. */
export class TargetUrl {
  readonly #urlOf: (object: KubeObject, serviceOrigin: () => URL) => URL;

  /** Throws an Error when the trigger says no usable place: `UrlError`, or in Go's words for a template. */
  constructor(url: HTTPTrigger['spec']['url'], { allowsTemplatedHosts }: TargetUrlOptions) {
    const { static: text, template, service } = url;
    if ([text, template, service].filter((one) => one !== undefined).length !== 1) {
      throw new UrlError('exactly one of url.static, url.template and url.service is to be set');
    }
    if (text !== undefined) {
      const fixed = httpUrl(text, 'url.static');
      this.#urlOf = () => fixed;
    } else if (template !== undefined) {
      const compiled = new BoundedTemplate(template, { field: 'url.template', maxBytes: MAX_BYTES });
      const origin = allowsTemplatedHosts ? null : literalOrigin(template);
      this.#urlOf = (object) => templated(compiled.execute(object), origin);
    } else {
      const path = pathOf(service?.uri);
      this.#urlOf = (object, serviceOrigin) => httpUrl(`${serviceOrigin().origin}/${path(object)}`, 'the URL of the Service');
    }
  }

  /** Throws `UnsendableError`: it is not known where the Service is, or the object makes a URL that is none, too long, or of another host. */
  of(object: KubeObject, serviceOrigin: () => URL): URL {
    try {
      const url = this.#urlOf(object, serviceOrigin);
      const bytes = url.href.length;
      if (bytes > MAX_BYTES) throw new UrlError(`the URL is of ${bytes} bytes; at most ${MAX_BYTES} are sent`);
      return url;
    } catch (error) {
      if (error instanceof UrlError) throw new UnsendableError('refused', 'UrlInvalid', error.message);
      throw error;
    }
  }
}

/** What is wrong with a URL. */
export class UrlError extends Error {
  override readonly name = 'UrlError';
}

/** An absolute URL as it can be asked. Throws `UrlError`, whose message does not repeat credentials. */
export function httpUrl(text: string, field: string): URL {
  const trimmed = text.trim();
  // A URL would lose line breaks and tabs without a word.
  if (/[\0-\x20\x7f]/.test(trimmed)) throw new UrlError(`${field} has blanks or control characters in it: encode them as %20`);
  if (!/^https?:\/\//i.test(trimmed) || !URL.canParse(trimmed))
    throw new UrlError(`${field} is no URL that begins with http:// or https://`);
  const url = new URL(trimmed);
  if (url.username !== '' || url.password !== '') throw new UrlError(`${field} has credentials in it: they belong into auth`);
  url.hash = '';
  return url;
}

/** Scheme, host and port as they stand before the first action of a template. */
function literalOrigin(template: string): string {
  const [literal = ''] = template.split('{{', 1);
  const [origin = ''] = /^\s*https?:\/\/[^/?#\\]+/i.exec(literal) ?? [];
  if (!URL.canParse(origin.trim())) {
    throw new UrlError('url.template has an action before the end of scheme and host, and hosts by templates are not allowed here');
  }
  return new URL(origin.trim()).origin;
}

function templated(text: string, origin: string | null): URL {
  const url = httpUrl(text, 'what url.template makes of the object');
  refuseDotSegments(text, 'what url.template makes of the object');
  if (origin === null || url.origin === origin) return url;
  throw new UnsendableError('refused', 'HostNotAllowed', `url.template makes ${url.origin} of the object; it stands at ${origin}`);
}

function pathOf(uri: { static?: string; template?: string } = {}): Text {
  const { static: text, template } = uri;
  if (text !== undefined && template !== undefined) throw new UrlError('exactly one of url.service.uri.static and .template is to be set');
  if (template !== undefined) {
    const compiled = new BoundedTemplate(template, { field: 'url.service.uri.template', maxBytes: MAX_BYTES });
    return (object) => pathText(compiled.execute(object), 'what url.service.uri.template makes of the object');
  }
  const path = pathText(text ?? '/', 'url.service.uri.static');
  return () => path;
}

function pathText(text: string, field: string): string {
  const path = text.trim();
  if (/[\0-\x20\x7f]/.test(path)) throw new UrlError(`${field} has blanks or control characters in it: encode them as %20`);
  if (/^([a-z][a-z0-9+.-]*:)?[/\\]{2}/i.test(path)) throw new UrlError(`${field} is an absolute URL: say a path`);
  refuseDotSegments(path, field);
  return path.replace(/^\//, '');
}

/** They would lead to another place than the text says. */
function refuseDotSegments(text: string, field: string): void {
  const [path = ''] = text.split(/[?#]/, 1);
  if (/(^|[/\\])(\.|%2e){1,2}([/\\]|$)/i.test(path)) throw new UrlError(`${field} has the segment . or .. in its path`);
}

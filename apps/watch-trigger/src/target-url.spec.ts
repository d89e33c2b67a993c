import { describe, expect, it } from '@jest/globals';
import type { HTTPTrigger } from '@harikube/crds';
import { sampleOrder } from './spec/sample-trigger.js';
import { httpUrl, TargetUrl, UrlError } from './target-url.js';
import { UnsendableError } from './unsendable-error.js';

type Url = HTTPTrigger['spec']['url'];
type Uri = NonNullable<Url['service']>['uri'];

const HOSTS_BY_TEMPLATES = { allowsTemplatedHosts: true };

/** The URL, or `REASON: message`. */
function urlOf(url: Url, spec: Record<string, unknown> = {}, { allowsTemplatedHosts = false } = {}): string {
  try {
    return new TargetUrl(url, { allowsTemplatedHosts }).of(sampleOrder(spec), () => new URL('http://gateway.faas.svc:8080')).href;
  } catch (error) {
    if (error instanceof UnsendableError) return `${error.outcome} ${error.reason}: ${error.message}`;
    if (error instanceof UrlError) return `UrlInvalid: ${error.message}`;
    throw error;
  }
}

const serviceUrl = (uri: Uri, spec: Record<string, unknown> = {}): string =>
  urlOf({ service: { name: 'gateway', scheme: 'http', uri } }, spec);

describe('TargetUrl', () => {
  it.each([
    ['http://example.com', 'http://example.com/'],
    ['https://example.com:8443/a/b?c=d%20e', 'https://example.com:8443/a/b?c=d%20e'],
    [' http://example.com/a#part ', 'http://example.com/a'],
    ['HTTP://EXAMPLE.com/A', 'http://example.com/A'],
    ['http://10.0.0.1:8080/{{x}}', 'http://10.0.0.1:8080/%7B%7Bx%7D%7D'],
  ])('is the static URL %j', (text, url) => {
    expect(urlOf({ static: text })).toBe(url);
  });

  it.each([
    ['ftp://example.com/', 'is no URL that begins with http:// or https://'],
    ['example.com', 'is no URL'],
    ['http://', 'is no URL'],
    ['//example.com/', 'is no URL'],
    ['http://exa mple.com/', 'has blanks or control characters in it'],
    ['http://example.com/a\nb', 'has blanks or control characters in it'],
    ['http://user:word@example.com/', 'has credentials in it: they belong into auth'],
    ['http://[::1/', 'is no URL'],
    ['http://example.com:99999/', 'is no URL'],
  ])('refuses the static URL %j', (text, sentence) => {
    expect(urlOf({ static: text })).toContain(`UrlInvalid: url.static ${sentence}`);
    expect(urlOf({ static: text })).not.toContain('word@');
  });

  it('is one of three', () => {
    const sentence = 'UrlInvalid: exactly one of url.static, url.template and url.service is to be set';
    expect(urlOf({})).toBe(sentence);
    expect(urlOf({ static: 'http://example.com', template: 'http://example.com' })).toBe(sentence);
  });

  it.each([
    ['http://example.com/{{ .metadata.name }}?t={{ .spec.t }}', { t: 7 }, 'http://example.com/o-1?t=7'],
    ['http://example.com/{{ .spec.t | urlquery }}', { t: 'a b/../c' }, 'http://example.com/a+b%2F..%2Fc'],
    ['http://example.com{{ .spec.t }}', { t: '/x' }, 'http://example.com/x'],
    ['https://example.com:8443/{{ .spec.t }}', { t: 'größe' }, 'https://example.com:8443/gr%C3%B6%C3%9Fe'],
    ['  http://example.com/{{ .spec.t }}\n', { t: 'x' }, 'http://example.com/x'],
    ['http://example.com/{{ .spec.t }}', { t: 'a?b=../c' }, 'http://example.com/a?b=../c'],
    ['http://example.com/plain', {}, 'http://example.com/plain'],
  ])('is what the template %j makes of %j', (template, spec, url) => {
    expect(urlOf({ template }, spec)).toBe(url);
  });

  it.each([
    [
      'http://example.com{{ .spec.t }}',
      { t: '.evil.test/' },
      'HostNotAllowed: url.template makes http://example.com.evil.test of the object',
    ],
    ['http://example.com{{ .spec.t }}', { t: ':81/' }, 'HostNotAllowed'],
    ['http://example.com{{ .spec.t }}', { t: '@evil.test/' }, 'UrlInvalid: what url.template makes of the object has credentials in it'],
    ['http://example.com/{{ .spec.t }}', { t: '../admin' }, 'UrlInvalid: what url.template makes of the object has the segment . or ..'],
    [
      'http://example.com/{{ .spec.t }}',
      { t: 'a/%2e%2E/admin' },
      'UrlInvalid: what url.template makes of the object has the segment . or ..',
    ],
    [
      'http://example.com/{{ .spec.t }}',
      { t: 'a\\..\\admin' },
      'UrlInvalid: what url.template makes of the object has the segment . or ..',
    ],
    ['http://example.com/{{ .spec.t }}', { t: 'a b' }, 'UrlInvalid: what url.template makes of the object has blanks'],
    ['http://example.com/{{ .spec.t }}', { t: 'a\r\nb' }, 'UrlInvalid: what url.template makes of the object has blanks'],
    ['http://example.com/{{ index .spec.t 7 }}', { t: [] }, 'TemplateFailed: template: url.template:1:'],
    ['http://example.com/{{ .spec.missing }}', {}, 'TemplateFailed: template: url.template:1:'],
    ['http://example.com/{{ .spec.t }}', { t: 'x'.repeat(9000) }, 'TemplateFailed: '],
    ['http://example.com/{{ .spec.t }}', { t: 'ö'.repeat(3000) }, 'UrlInvalid: the URL is of 18019 bytes; at most 8192 are sent'],
  ])('refuses what the template %j makes of %j', (template, spec, refusal) => {
    expect(urlOf({ template }, spec)).toContain(`refused ${refusal}`);
  });

  it.each(['{{ .spec.url }}', 'http://{{ .spec.host }}/', 'http{{ .spec.s }}://example.com/', '{{/* where */}}http://example.com/'])(
    'refuses the template %s, by which the object says the host',
    (template) => {
      expect(urlOf({ template }, { url: 'http://example.com', host: 'example.com', s: 's' })).toContain(
        'UrlInvalid: url.template has an action',
      );
    },
  );

  it('lets a template say the host where that is allowed', () => {
    expect(urlOf({ template: '{{ .spec.url }}' }, { url: 'https://example.com/a' }, HOSTS_BY_TEMPLATES)).toBe('https://example.com/a');
    expect(urlOf({ template: 'http://example.com{{ .spec.t }}' }, { t: '.test/' }, HOSTS_BY_TEMPLATES)).toBe('http://example.com.test/');
    expect(urlOf({ template: '{{ .spec.url }}' }, { url: 'file:///etc/passwd' }, HOSTS_BY_TEMPLATES)).toContain('refused UrlInvalid');
  });

  it.each<[string, Uri, string]>([
    ['no uri', undefined, 'http://gateway.faas.svc:8080/'],
    ['a path', { static: '/function/mail' }, 'http://gateway.faas.svc:8080/function/mail'],
    ['a path without a slash', { static: 'function/mail' }, 'http://gateway.faas.svc:8080/function/mail'],
    ['a query', { static: '/f?a=b' }, 'http://gateway.faas.svc:8080/f?a=b'],
    ['a query alone', { static: '?a=b' }, 'http://gateway.faas.svc:8080/?a=b'],
    ['a colon', { static: '/v1/x:run' }, 'http://gateway.faas.svc:8080/v1/x:run'],
    ['a template', { template: '/function/{{ .spec.f }}' }, 'http://gateway.faas.svc:8080/function/mail'],
    ['a template without a slash', { template: '{{ .spec.f }}?n={{ .metadata.name }}' }, 'http://gateway.faas.svc:8080/mail?n=o-1'],
  ])('is a Service with %s', (_what, uri, url) => {
    expect(serviceUrl(uri, { f: 'mail' })).toBe(url);
  });

  it.each([
    ['//evil.test/', 'is an absolute URL'],
    ['/\\evil.test/', 'is an absolute URL'],
    ['http://evil.test/', 'is an absolute URL'],
    ['../admin', 'has the segment . or ..'],
    ['/a/../admin', 'has the segment . or ..'],
    ['/a/%2e%2e', 'has the segment . or ..'],
    ['/a/./b', 'has the segment . or ..'],
    ['/a b', 'has blanks or control characters'],
  ])('refuses the uri %j of a Service', (text, sentence) => {
    expect(serviceUrl({ static: text })).toContain(`UrlInvalid: url.service.uri.static ${sentence}`);
    expect(serviceUrl({ template: '{{ .spec.t }}' }, { t: text })).toContain(
      `refused UrlInvalid: what url.service.uri.template makes of the object ${sentence}`,
    );
  });

  it("says in Go's words what is wrong with a template", () => {
    expect(() => new TargetUrl({ template: 'http://example.com/{{ .x' }, HOSTS_BY_TEMPLATES)).toThrow(
      'template: url.template:1: unclosed action',
    );
    const service = { name: 'gateway', scheme: 'http', uri: { template: '/{{ nosuch }}' } } as const;
    expect(() => new TargetUrl({ service }, HOSTS_BY_TEMPLATES)).toThrow(
      'template: url.service.uri.template:1: function "nosuch" not defined',
    );
  });
});

describe('httpUrl', () => {
  it('says which field is no URL', () => {
    expect(() => httpUrl('nowhere', 'deadLetter.url')).toThrow('deadLetter.url is no URL that begins with http:// or https://');
  });
});

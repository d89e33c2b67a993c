import { describe, expect, it } from '@jest/globals';
import type { HTTPTrigger } from '@harikube/crds';
import { type HttpRequest, RequestBuilder, type TriggerPolicy } from './request-builder.js';
import { FakeReferences } from './spec/fake-references.js';
import { sampleEvent, sampleOrder, sampleTrigger } from './spec/sample-trigger.js';
import type { TriggerEvent } from './trigger-event.js';
import { TriggerReferences } from './trigger-references.js';
import { UnsendableError } from './unsendable-error.js';

type Spec = HTTPTrigger['spec'];

const POLICY: TriggerPolicy = {
  allowsInsecureTls: false,
  allowsTemplatedHosts: false,
  allowsSecretData: false,
  allowsOtherNamespaces: true,
};
const OPTIONS = { attempt: 1, now: Date.parse('2026-01-02T03:04:05.678Z'), userAgent: 'spec/1' };
const KEY_REF = { name: 's', key: 'key' };

interface Built {
  readonly spec: Partial<Spec>;
  readonly event?: Partial<TriggerEvent>;
  readonly secrets?: Readonly<Record<string, string>>;
}

function built({ spec, event, secrets = {} }: Built): HttpRequest {
  const trigger = sampleTrigger({ url: { static: 'http://example.com/hook' }, ...spec });
  const references = new FakeReferences();
  references.setSecret('s', secrets);
  return new RequestBuilder(trigger, POLICY).build(
    sampleEvent(event),
    new TriggerReferences(trigger, references, () => undefined),
    OPTIONS,
  );
}

/** `outcome reason: message` of what cannot be sent. */
function refusalOf(built_: Built): string {
  try {
    built(built_);
  } catch (error) {
    if (error instanceof UnsendableError) return `${error.outcome} ${error.reason}: ${error.message}`;
    throw error;
  }
  return 'it can be sent';
}

const textBody = (template: string): Spec['body'] => ({ contentType: 'text/plain', template });

describe('RequestBuilder', () => {
  it.each(['POST', 'PUT', 'PATCH'] as const)('makes a %s of the body that the template makes', (method) => {
    const request = built({ spec: { method, body: textBody('{{ .metadata.name }}: {{ .spec.customer }}') } });
    expect([request.method, request.url.href, request.body?.toString()]).toEqual([method, 'http://example.com/hook', 'o-1: Ann']);
    expect(request.headers['content-type']).toBe('text/plain');
  });

  it('has no body, and no type of one, without a template and in a GET', () => {
    for (const spec of [{}, { method: 'GET', body: textBody('x') }] satisfies Partial<Spec>[]) {
      const request = built({ spec });
      expect(request.body).toBeNull();
      expect(request.headers).not.toHaveProperty('content-type');
      expect(request.headers['ce-id']).toBe('c0ffee');
    }
  });

  it('writes texts as UTF-8, and numbers with all their digits', () => {
    const object = sampleOrder({ big: 9007199254740993n, text: 'größer 😀' });
    const { body, headers } = built({
      spec: { body: textBody('{{ .spec.text }} {{ .spec.big }}'), headers: { template: { 'X-Text': '{{ .spec.text }}' } } },
      event: { object },
    });
    expect(body).toEqual(Buffer.from('größer 😀 9007199254740993'));
    expect(Buffer.from(headers['x-text'] ?? '', 'latin1').toString()).toBe('größer 😀');
  });

  it('sends the whole object as JSON, with all digits of its numbers', () => {
    const object = sampleOrder({ big: 9007199254740993n, least: -9223372036854775808n, half: 0.5, text: '<&>' });
    const { body } = built({ spec: { body: { contentType: 'application/json', template: '{{ toJson . }}' } }, event: { object } });
    const text = body?.toString() ?? '';
    expect(text).toContain('"big":9007199254740993');
    expect(text).toContain('"least":-9223372036854775808');
    expect(JSON.parse(text)).toMatchObject({ kind: 'Order', metadata: { name: 'o-1' }, spec: { half: 0.5, text: '<&>' } });
  });

  it('fails on a key that the object lacks, instead of sending that it has no value', () => {
    const refusal = refusalOf({ spec: { body: textBody('{{ .spec.missing }}') } });
    expect(refusal).toContain('refused TemplateFailed: template: body.template:1:');
    expect(refusal).toContain('map has no entry for key "missing"');
  });

  it('takes headers from Secrets before templates before static ones, whatever their case', () => {
    const { headers } = built({
      spec: {
        headers: {
          static: { 'X-A': 'static', 'X-B': 'static', 'x-c': 'static', 'X-D': 'static' },
          template: { 'x-a': 'template', 'X-B': '{{ .metadata.name }}', 'X-E': '{{ .spec.total }}' },
          fromSecretRef: { 'X-a': KEY_REF, 'X-F': KEY_REF },
        },
      },
      secrets: { key: 'secret' },
    });
    expect(headers).toMatchObject({ 'x-a': 'secret', 'x-b': 'o-1', 'x-c': 'static', 'x-d': 'static', 'x-e': '3', 'x-f': 'secret' });
  });

  it('lets headers override the type of the body and the name of the client, and not authentication', () => {
    const secrets = { key: 'sesame' };
    const { headers } = built({
      spec: {
        body: textBody('x'),
        headers: { static: { 'Content-Type': 'application/x-ndjson', 'User-Agent': 'mine/2', Authorization: 'Basic x' } },
        auth: { bearer: { secretKeyRef: KEY_REF } },
      },
      secrets,
    });
    expect(headers).toMatchObject({ 'content-type': 'application/x-ndjson', 'user-agent': 'mine/2', authorization: 'Bearer sesame' });
  });

  it.each([
    'Host',
    'content-length',
    'Connection',
    'Transfer-Encoding',
    'Keep-Alive',
    'upgrade',
    'TE',
    'Trailer',
    'Expect',
    'ce-id',
    'CE-anything',
    'two words',
    'colon:',
    '',
    'größe',
  ])('has a problem with a trigger that sets the header %j, wherever it does', (name) => {
    const wheres: Partial<Spec>[] = [
      { headers: { static: { [name]: 'x' } } },
      { headers: { template: { [name]: 'x' } } },
      { headers: { fromSecretRef: { [name]: KEY_REF } } },
      {
        body: {
          contentType: 'text/plain',
          template: 'x',
          signature: { header: name, keySecretRef: KEY_REF, hmac: { hashType: 'SHA256' }, scheme: 'Body' },
        },
      },
    ];
    for (const spec of wheres) {
      const { problems } = new RequestBuilder(sampleTrigger({ url: { static: 'http://example.com/' }, ...spec }), POLICY);
      expect(problems).toEqual([{ reason: 'HeaderInvalid', message: expect.stringContaining(name) }]);
      expect(refusalOf({ spec, secrets: { key: 'k' } })).toContain('temporary HeaderInvalid');
    }
  });

  it.each(['a\r\nSet-Cookie: b', 'a\nb', 'a\rb', 'a\0b', 'a\x7fb', '\n'])('sends no header with the value %j', (text) => {
    const object = sampleOrder({ text });
    expect(refusalOf({ spec: { headers: { template: { 'X-Text': '{{ .spec.text }}' } } }, event: { object } })).toBe(
      'refused HeaderInvalid: the value of the header X-Text has line breaks or other control characters in it',
    );
    expect(refusalOf({ spec: { headers: { static: { 'X-Text': text } } } })).toContain('temporary HeaderInvalid');
  });

  it('sends tabs, blanks and nothing in headers', () => {
    const object = sampleOrder({ text: 'a\tb c', none: '' });
    const { headers } = built({
      spec: { headers: { template: { 'X-Text': '{{ .spec.text }}', 'X-None': '{{ .spec.none }}' } } },
      event: { object },
    });
    expect([headers['x-text'], headers['x-none']]).toEqual(['a\tb c', '']);
  });

  it('takes the line break off that ends a Secret made of a file, and no other', () => {
    const spec: Partial<Spec> = { auth: { bearer: { secretKeyRef: KEY_REF } }, headers: { fromSecretRef: { 'X-Key': KEY_REF } } };
    for (const key of ['sesame\n', 'sesame\r\n', 'sesame']) {
      expect(built({ spec, secrets: { key } }).headers).toMatchObject({ authorization: 'Bearer sesame', 'x-key': 'sesame' });
    }
    expect(refusalOf({ spec, secrets: { key: 'se\nsame' } })).toContain(
      'temporary SecretInvalid: the key "key" of the Secret s is no value',
    );
    expect(refusalOf({ spec, secrets: { key: 'se\nsame' } })).not.toContain('same\n');
  });

  it('proves who it is by user and password, as bytes of UTF-8', () => {
    const spec: Partial<Spec> = { auth: { basicAuth: { user: 'ann', secretKeyRef: KEY_REF } } };
    const { headers } = built({ spec, secrets: { key: 'pä:ss' } });
    expect(headers['authorization']).toBe(`Basic ${Buffer.from('ann:pä:ss').toString('base64')}`);
  });

  it.each([
    ['auth.basicAuth', { auth: { basicAuth: { user: 'ann', secretKeyRef: KEY_REF } } }],
    ['auth.bearer', { auth: { bearer: { secretKeyRef: KEY_REF } } }],
    ['headers', { headers: { fromSecretRef: { 'X-Key': KEY_REF } } }],
    [
      'body.signature',
      {
        body: {
          contentType: 'text/plain',
          template: 'x',
          signature: { header: 'X-S', keySecretRef: KEY_REF, hmac: { hashType: 'SHA256' }, scheme: 'Body' },
        },
      },
    ],
  ] satisfies [string, Partial<Spec>][])('sends nothing without the Secret of %s', (_field, spec) => {
    expect(refusalOf({ spec })).toBe('temporary SecretNotReady: the Secret shop/s has no key "key"');
  });

  it('signs the body, also one that is not there', () => {
    const signature = { header: 'X-Hub-Signature', keySecretRef: KEY_REF, hmac: { hashType: 'SHA256' }, scheme: 'Body' } as const;
    const secrets = { key: 'topsecret' };
    const spec: Partial<Spec> = { body: { contentType: 'application/json', template: '{"total":{{ .spec.total }}}', signature } };
    // printf '%s' '{"total":3}' | openssl dgst -sha256 -hmac topsecret
    expect(built({ spec, secrets }).headers['x-hub-signature']).toBe('39a0dbec459512e4696582649b31a4f7b436f6c32cc009e4d461b35eaf2dfa5d');
    // printf '' | openssl dgst -sha256 -hmac topsecret
    expect(built({ spec: { ...spec, method: 'GET' }, secrets }).headers['x-hub-signature']).toBe(
      '818f9cb88315ac08b5ef83f96650ca6f4e3dddcb4548e4879b746f56b57fa2b0',
    );
  });

  it('signs time, id and body, by both keys while they rotate', () => {
    const signature = {
      header: 'X-Signature',
      keySecretRef: KEY_REF,
      previousKeySecretRef: { name: 's', key: 'old' },
      hmac: { hashType: 'SHA256' },
      scheme: 'Timestamped',
    } as const;
    const spec: Partial<Spec> = {
      body: { contentType: 'application/json', template: '{"total":{{ .spec.total }}}', signature },
      headers: { static: { 'x-signature': 'not this' } },
    };
    const secrets = { key: 'topsecret', old: 'oldsecret' };
    // python3 -c "import hmac; print(hmac.new(b'topsecret', b'1767323045.c0ffee.{\"total\":3}', 'sha256').hexdigest())", and with oldsecret
    expect(built({ spec, secrets }).headers['x-signature']).toBe(
      't=1767323045,v1=8e32cdf360c8614fb7f70147792500f47025e944253f2bee2593a064eaac2139,v1=aa991a99bdde0fc853275ad30e62e4e16f9afcf80b38290bc4192a511399bdff',
    );
    expect(refusalOf({ spec, secrets: { key: 'topsecret' } })).toContain('temporary SecretNotReady');
  });

  it.each([
    ['a header', { headers: { template: { 'X-A': '{{ .spec.long }}' } } }, 'headers.template[X-A]', 8192],
    ['the body', { body: textBody('{{ .spec.long }}') }, 'body.template', 4194304],
    ['the URL', { url: { template: 'http://example.com/{{ .spec.long }}' } }, 'url.template', 8192],
  ] satisfies [string, Partial<Spec>, string, number][])('refuses what makes %s too long', (_what, spec, field, most) => {
    const long = (length: number): Partial<TriggerEvent> => ({ object: sampleOrder({ long: 'x'.repeat(length) }) });
    const refusal = refusalOf({ spec, event: long(most + 1) });
    expect(refusal).toContain('refused TemplateFailed: ');
    expect(refusal).toContain(field);
    expect(refusal).toContain(String(most));
    expect(refusalOf({ spec, event: long(most - 100) })).toBe('it can be sent');
  });

  it.each([
    ['url.template', { url: { template: 'http://example.com/{{ .x' } }],
    ['url.service.uri.template', { url: { service: { name: 'a', scheme: 'http', uri: { template: '/{{ .x' } } } }],
    ['headers.template[X-A]', { headers: { template: { 'X-A': '{{ .x' } } }],
    ['body.template', { body: textBody('{{ .x') }],
  ] satisfies [string, Partial<Spec>][])('has a problem with %s that cannot be parsed', (field, spec) => {
    const { problems } = new RequestBuilder(sampleTrigger({ url: { static: 'http://example.com/' }, ...spec }), POLICY);
    expect(problems).toEqual([{ reason: 'TemplateInvalid', message: expect.stringContaining(`template: ${field}:1:`) }]);
    expect(refusalOf({ spec })).toContain('temporary TemplateInvalid');
  });

  it.each([
    ['headers.template[X-A]', { headers: { template: { 'X-A': '{{ index .spec.items 7 }}' } } }],
    ['url.template', { url: { template: 'http://example.com/{{ index .spec.items 7 }}' } }],
    ['body.template', { body: textBody('{{ index .spec.items 7 }}') }],
  ] satisfies [string, Partial<Spec>][])('refuses an event whose object %s fails on', (field, spec) => {
    const refusal = refusalOf({ spec, event: { object: sampleOrder({ items: [] }) } });
    expect(refusal).toContain(`refused TemplateFailed: template: ${field}:1:`);
    expect(refusal).toContain('index out of range');
  });
});

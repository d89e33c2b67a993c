import { describe, expect, it } from '@jest/globals';
import type { Verdict } from '@harikube/admission';
import { HTTP_TRIGGERS } from '@harikube/crds';
import { type ReviewOptions, requestOf } from '@harikube/admission/review';
import { HTTPTriggerAdmission } from './http-trigger-admission.js';

const admission = new HTTPTriggerAdmission();
const secretKeyRef = { name: 'sink', key: 'token' };
const required = { resource: { apiVersion: 'v1', kind: 'ConfigMap' }, url: { static: 'https://sink.example.com/events' } };

const trigger = (spec: object, metadata: object = {}): object => ({
  metadata: { name: 'sample', ...metadata },
  spec: { ...required, ...spec },
});
const validate = (options: ReviewOptions): Verdict => admission.validate(requestOf({ resource: HTTP_TRIGGERS, ...options }));
const causesIn = ({ denial }: Verdict): string[] => denial?.details?.causes?.map(({ field, message }) => `${field}: ${message}`) ?? [];
const causesOf = (spec: object): string[] => causesIn(validate({ object: trigger(spec) }));
const warningsOf = (spec: object): readonly string[] => validate({ object: trigger(spec) }).warnings ?? [];

/** Everything that a trigger can say. */
const FULL = {
  resource: { apiVersion: 'product.webshop.harikube.info/v1', kind: 'Email' },
  namespaces: ['shop'],
  labelSelectors: ['tier in (web,api)', '!old'],
  fieldSelectors: ['spec.toAddress=jane@example.com'],
  eventTypes: ['ADDED'],
  eventFilter: 'and (eq .spec.subject "Hi") (not .metadata.deletionTimestamp)',
  url: {
    service: {
      name: 'gateway',
      namespace: 'openfaas',
      portName: 'http',
      scheme: 'https',
      uri: { template: '/function/{{ .metadata.name }}' },
    },
  },
  method: 'POST',
  auth: { basicAuth: { user: 'jane', secretKeyRef }, tls: { caRef: secretKeyRef } },
  headers: {
    static: { 'X-From': 'webshop', 'Content-Type': 'text/plain' },
    template: { 'X-Name': '{{ .metadata.name }}' },
    fromSecretRef: { 'X-Token': secretKeyRef },
  },
  body: {
    contentType: 'application/json',
    template: '{"name":{{ printf "%q" .metadata.name }}}',
    signature: { header: 'X-Signature', keySecretRef: secretKeyRef, hmac: { hashType: 'SHA256' }, scheme: 'Body' },
  },
  delivery: { timeout: '10s', retries: 3 },
  deadLetter: { policy: 'Drop', url: 'https://dead.example.com' },
};

describe('HTTPTriggerAdmission', () => {
  it('takes a trigger that says everything, and has nothing to warn of', () => {
    expect(validate({ object: trigger(FULL) })).toEqual({ denial: null, warnings: [] });
    expect(validate({ object: trigger({}) })).toEqual({ denial: null, warnings: [] });
  });

  it('says what the schema says, too', () => {
    expect(causesOf({ resource: { apiVersion: 'a/b/c', kind: 'Config Map' }, delivery: { timeout: '1h' } })).toEqual([
      expect.stringMatching(/^spec\.resource\.apiVersion: Invalid value: "a\/b\/c": must be a version such as v1/),
      expect.stringMatching(/^spec\.resource\.kind: Invalid value: "Config Map": must be a kind such as Deployment/),
      'spec.delivery.timeout: Invalid value: "1h": must be 100ms to 10m',
    ]);
  });

  it.each([
    ['spec.eventFilter', { eventFilter: 'eq .spec.a "b' }, 'unterminated quoted string'],
    ['spec.eventFilter', { eventFilter: 'frobnicate .spec' }, 'function "frobnicate" not defined'],
    ['spec.url.template', { url: { template: 'https://sink.example.com/{{ .metadata.name' } }, 'unclosed action'],
    ['spec.url.service.uri.template', { url: { service: { name: 'a', uri: { template: '/{{ if }}' } } } }, 'missing value for if'],
    ['spec.headers.template.X-A.B', { headers: { template: { 'X-A.B': '{{ end }}' } } }, 'unexpected {{end}}'],
    ['spec.body.template', { body: { contentType: 'text/plain', template: '{{ . ' } }, 'unclosed action'],
  ])('says in Go’s words why %s does not parse: %j', (field, spec, words) => {
    const causes = causesOf(spec);
    expect(causes).toHaveLength(1);
    expect(causes[0]).toMatch(new RegExp(`^${field}: Invalid value: ".*": template: ${field}:1: `));
    expect(causes[0]).toContain(words);
  });

  it('shows the beginning of a long template', () => {
    const [cause = ''] = causesOf({ body: { contentType: 'text/plain', template: `{{ end }}${'x'.repeat(60_000)}` } });
    expect(cause).toContain('xxx…"');
    expect(cause.length).toBeLessThan(500);
  });

  it.each(['http://', 'https:///path', 'http://?a', 'http://a:99999/', 'http://[::1/'])('refuses the URL %s', (text) => {
    const ofUrl = causesOf({ url: { static: text } });
    const ofDeadLetter = causesOf({ deadLetter: { policy: 'Drop', url: text } });
    expect([ofUrl, ofDeadLetter].map(([cause]) => cause?.split(':')[0])).toEqual(['spec.url.static', 'spec.deadLetter.url']);
  });

  it('refuses credentials in a URL, and does not repeat them', () => {
    const url = 'https://jane:s3cret@sink.example.com/x';
    const causes = causesOf({ url: { static: url }, deadLetter: { policy: 'Drop', url } });
    const words = 'has credentials in it, for everybody to read: put them into a Secret and name it in spec.auth';
    expect(causes).toEqual(
      ['spec.url.static', 'spec.deadLetter.url'].map((field) => `${field}: Invalid value: "https://***@sink.example.com/x": ${words}`),
    );
  });

  it('refuses a path that leads elsewhere', () => {
    const ofPath = (path: string): string[] => causesOf({ url: { service: { name: 'a', uri: { static: path } } } });
    for (const path of ['//evil.example.com/', '/a/../b', '/a/%2E%2e', '/./a?b'])
      expect(ofPath(path)).toEqual([expect.stringContaining(`spec.url.service.uri.static: Invalid value: "${path}": `)]);
    for (const path of ['/', '/function/email?x=../y', '/a..b/.c']) expect(ofPath(path)).toEqual([]);
  });

  it.each([
    'Host',
    'content-length',
    'Connection',
    'Transfer-Encoding',
    'keep-alive',
    'Upgrade',
    'TE',
    'trailer',
    'Expect',
    'Ce-Id',
    'a b',
    'a:b',
    'é',
  ])('refuses the header %s wherever it is named', (name) => {
    const signature = { header: name, keySecretRef: secretKeyRef, hmac: { hashType: 'SHA256' }, scheme: 'Body' };
    const headers = { static: { [name]: 'x' }, template: { [name]: 'x' }, fromSecretRef: { [name]: secretKeyRef } };
    const isToken = /^[A-Za-z-]+$/.test(name);
    expect(causesOf({ headers, ...(isToken ? { body: { contentType: 'a/b', template: 'x', signature } } : {}) })).toEqual(
      [
        `spec.headers.static.${name}`,
        `spec.headers.template.${name}`,
        `spec.headers.fromSecretRef.${name}`,
        ...(isToken ? ['spec.body.signature.header'] : []),
      ].map((field) => expect.stringContaining(`${field}: Invalid value: "${name}": `)),
    );
  });

  it('refuses a header twice in one map, and one that authentication sets', () => {
    expect(causesOf({ headers: { static: { 'X-A': '1', 'x-a': '2' }, template: { 'X-a': '3' } } })).toEqual([
      'spec.headers.static.x-a: Invalid value: "x-a": is X-A in other letters: leave one of them out',
    ]);
    const headers = { fromSecretRef: { authorization: secretKeyRef } };
    expect(causesOf({ headers })).toEqual([]);
    expect(causesOf({ headers, auth: { tls: { caRef: secretKeyRef } } })).toEqual([]);
    for (const [name, auth] of Object.entries({ basicAuth: { user: 'jane', secretKeyRef }, bearer: { secretKeyRef } }))
      expect(causesOf({ headers, auth: { [name]: auth } })).toEqual([
        `spec.headers.fromSecretRef.authorization: Invalid value: "authorization": is set by spec.auth.${name} already: leave one of them out`,
      ]);
  });

  it('refuses line breaks in the value of a header', () => {
    expect(causesOf({ headers: { static: { 'X-A': 'a\r\nHost: b', 'X-B': 'a\tä' } } })).toEqual([
      expect.stringContaining('spec.headers.static.X-A: Invalid value: "a\\r\\nHost: b": must be one line without control characters'),
    ]);
  });

  it('refuses selectors that Kubernetes does not read, each by itself', () => {
    expect(causesOf({ labelSelectors: ['a=b', 'tier in (web', 'c)'], fieldSelectors: ['metadata.name'] })).toEqual([
      'spec.labelSelectors[1]: Invalid value: "tier in (web": the parenthesis is not closed',
      'spec.labelSelectors[2]: Invalid value: "c)": ")" is no operator: there are =, ==, !=, in, notin, < and >',
      'spec.fieldSelectors[0]: Invalid value: "metadata.name": "metadata.name" compares nothing: write FIELD=VALUE or FIELD!=VALUE',
    ]);
  });

  it('warns of hosts that are not fixed', () => {
    const warning = 'spec.url.template: its scheme and host are not fixed: nothing is sent unless the operator allows that';
    for (const template of [
      '{{ .spec.url }}',
      'https://{{ .spec.host }}/',
      'https://sink-{{ .spec.shop }}.example.com/',
      'https://sink:{{ .spec.port }}',
      'ftp://a/',
    ])
      expect([template, warningsOf({ url: { template } })]).toEqual([template, [warning]]);
    for (const template of [
      'https://sink.example.com',
      'https://sink.example.com/{{ .metadata.name }}',
      'https://sink:8080?a={{ .metadata.name }}',
    ])
      expect([template, warningsOf({ url: { template } })]).toEqual([template, []]);
  });

  it('warns of what is not safe or of no effect', () => {
    const isAbout = (spec: object): (string | undefined)[] => warningsOf(spec).map((warning) => warning.split(':')[0]);
    const signature = { header: 'X-S', keySecretRef: secretKeyRef, previousKeySecretRef: secretKeyRef, hmac: { hashType: 'SHA256' } };
    const body = { contentType: 'a/b', template: 'x' };
    const plain = { static: 'http://sink.example.com' };
    expect(isAbout({ auth: { tls: { insecureSkipVerify: true } } })).toEqual(['spec.auth.tls.insecureSkipVerify']);
    expect(isAbout({ auth: { tls: { caRef: secretKeyRef } }, url: plain })).toEqual(['spec.auth.tls']);
    expect(isAbout({ auth: { bearer: { secretKeyRef } }, url: plain })).toEqual(['spec.auth']);
    expect(isAbout({ auth: { bearer: { secretKeyRef } }, url: { service: { name: 'gateway' } } })).toEqual([]);
    expect(isAbout({ body, method: 'GET' })).toEqual(['spec.body']);
    expect(isAbout({ body: { ...body, signature: { ...signature, scheme: 'Body' } } })).toEqual([
      'spec.body.signature.previousKeySecretRef',
    ]);
    expect(isAbout({ body: { ...body, signature: { ...signature, scheme: 'Timestamped' } } })).toEqual([]);
    expect(isAbout({ resource: { apiVersion: 'v1', kind: 'pods' } })).toEqual(['spec.resource.kind']);
    expect(isAbout({ resource: { apiVersion: 'events.k8s.io/v1', kind: 'Event' } })).toEqual(['spec.resource']);
    expect(isAbout({ resource: { apiVersion: 'v1', kind: 'Secret' } })).toEqual(['spec.resource']);
    const everything = warningsOf({
      resource: { apiVersion: 'v1', kind: 'event' },
      url: { template: 'http://{{ .a }}' },
      method: 'GET',
      auth: { bearer: { secretKeyRef }, tls: { insecureSkipVerify: true } },
      body: { ...body, signature: { ...signature, scheme: 'Body' } },
    });
    expect(everything).toHaveLength(7);
    for (const warning of everything) expect(warning.length).toBeLessThanOrEqual(120);
  });

  it('holds nothing against a change that was so before', () => {
    const spec = { eventFilter: 'old .spec', headers: { static: { 'X-A': '1', 'x-a': '2', 'ce-old.er': '3' } }, labelSelectors: ['a b'] };
    const update = (before: object, after: object, metadata: object = {}): string[] =>
      causesIn(validate({ operation: 'UPDATE', oldObject: trigger(before), object: trigger(after, metadata) }));
    expect(update(spec, { ...spec, suspend: true })).toEqual([]);
    expect(update(spec, { ...spec, eventFilter: 'older .spec', labelSelectors: ['a b', 'c'] }).map((cause) => cause.split(':')[0])).toEqual(
      ['spec.eventFilter', 'spec.labelSelectors[0]'],
    );
    expect(update({}, spec)).toHaveLength(4);
    expect(update({}, spec, { deletionTimestamp: '2026-01-02T03:04:05Z' })).toEqual([]);
    const headers = { static: { Authorization: 'x' } };
    expect(update({ headers }, { headers, auth: { bearer: { secretKeyRef } } })).toHaveLength(1);
    expect(update({ concurrency: 500 }, { concurrency: 500, eventFilter: '{{' })).toEqual([]);
  });

  it('judges nothing but what is written', () => {
    expect(validate({ operation: 'DELETE', object: null, oldObject: trigger({ eventFilter: '}}' }) })).toEqual({ denial: null });
  });
});

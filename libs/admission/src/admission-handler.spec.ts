import { describe, expect, it } from '@jest/globals';
import { HTTP_TRIGGERS, REGISTRATION_REQUESTS, TENANTS, USERS } from '@harikube/crds';
import { createLogger, Registry } from '@harikube/platform';
import { type Admission, AdmissionHandler, BodyTooLargeError, type Question, webhookPath } from './admission-handler.js';
import { AdmissionMetrics } from './admission-metrics.js';
import { type AdmissionRequest, ALLOWED, denied, type Verdict } from './admission-review.js';
import { type ReviewOptions, reviewBody } from './spec/review.js';

const CANARY = 'Plain-Canary-1';

interface Asked {
  readonly does: string;
  readonly request: AdmissionRequest;
  readonly signal?: AbortSignal;
}

function setUp(judge: (asked: Asked) => Promise<Verdict> | Verdict = () => ALLOWED) {
  const registry = new Registry();
  const asked: Asked[] = [];
  let log = '';
  const admission: Admission = {
    mutate: (request, signal) => {
      asked.push({ does: 'mutate', request, signal });
      return judge({ does: 'mutate', request, signal });
    },
    validate: (request, signal) => {
      asked.push({ does: 'validate', request, signal });
      return judge({ does: 'validate', request, signal });
    },
  };
  const handler = new AdmissionHandler({
    admissions: [
      [TENANTS, admission],
      [USERS, admission],
      [HTTP_TRIGGERS, { validate: () => ALLOWED }],
    ],
    metrics: new AdmissionMetrics(registry),
    logger: createLogger({ format: 'json', debug: true, destination: { write: (text) => (log += text) } }),
  });
  const ask = (body: string, more: Partial<Question> = {}): Promise<object | null> =>
    handler.answer({
      webhook: webhookPath('mutate', TENANTS),
      contentType: 'application/json; charset=utf-8',
      timeout: '10s',
      body: async () => body,
      gone: new AbortController().signal,
      ...more,
    });
  return { registry, asked, ask, log: () => log };
}

const tenant = (options: ReviewOptions = {}): string => reviewBody({ kind: 'Tenant', object: { spec: { city: CANARY } }, ...options });

describe('AdmissionHandler', () => {
  it('asks the one or the other side of a kind by the path, and repeats the uid', async () => {
    const { ask, asked } = setUp();
    expect(webhookPath('validate', REGISTRATION_REQUESTS)).toBe('validate-product-webshop-harikube-info-v1-registrationrequest');
    expect(webhookPath('validate', HTTP_TRIGGERS)).toBe('validate-triggers-harikube-info-v1-httptrigger');
    expect(await ask(tenant({ uid: 'u-7' }))).toMatchObject({ response: { uid: 'u-7', allowed: true } });
    await ask(tenant(), { webhook: webhookPath('validate', TENANTS) });
    expect(asked.map(({ does }) => does)).toEqual(['mutate', 'validate']);
    expect(await ask(tenant(), { webhook: 'mutate-other' })).toBeNull();
  });

  it('goes by the kind of the object and not by the path', async () => {
    const { ask, asked } = setUp();
    await ask(reviewBody({ kind: 'User' }));
    expect(asked[0]?.request.kind.kind).toBe('User');
    expect(await ask(reviewBody({ kind: 'Order' }))).toMatchObject({ response: { uid: 'uid-1', allowed: false, status: { code: 400 } } });
    expect(await ask(reviewBody({ kind: 'toString' }))).toMatchObject({ response: { allowed: false, status: { code: 400 } } });
  });

  it('does not complete what is judged only', async () => {
    const { ask } = setUp();
    expect(await ask(reviewBody({ resource: HTTP_TRIGGERS }), { webhook: webhookPath('mutate', HTTP_TRIGGERS) })).toBeNull();
    expect(await ask(reviewBody({ resource: HTTP_TRIGGERS }))).toMatchObject({ response: { allowed: false, status: { code: 400 } } });
    expect(await ask(reviewBody({ resource: HTTP_TRIGGERS }), { webhook: webhookPath('validate', HTTP_TRIGGERS) })).toMatchObject({
      response: { allowed: true },
    });
  });

  it('lets a subresource pass', async () => {
    const { ask, asked } = setUp();
    const body = tenant().replace('"name":"sample"', '"name":"sample","subResource":"status"');
    expect(await ask(body)).toMatchObject({ response: { allowed: true } });
    expect(asked).toEqual([]);
  });

  it('refuses in the same form what it cannot read', async () => {
    const { ask, log } = setUp();
    const refusal = (code: number): object => ({
      kind: 'AdmissionReview',
      response: { allowed: false, status: { code, status: 'Failure' } },
    });
    expect(await ask(CANARY)).toMatchObject(refusal(400));
    expect(await ask('')).toMatchObject(refusal(400));
    for (const contentType of [undefined, 'text/plain', 'application/yaml', 'application/vnd.kubernetes.protobuf'])
      expect(await ask(tenant(), { contentType })).toMatchObject(refusal(400));
    expect(await ask('', { body: () => Promise.reject(new BodyTooLargeError('too long')) })).toMatchObject(refusal(413));
    expect(log()).not.toContain(CANARY);
  });

  it('refuses with 500 when it fails, and shows nothing of the object', async () => {
    const { ask, log } = setUp(({ request }) => {
      throw new TypeError(`cannot use ${JSON.stringify(request.object)}`);
    });
    const answer = await ask(tenant());
    expect(answer).toMatchObject({ response: { uid: 'uid-1', allowed: false, status: { code: 500, reason: 'InternalError' } } });
    expect(JSON.stringify(answer) + log()).not.toContain(CANARY);
    expect(log()).toMatch(/"error":"TypeError","at":\["at /);
  });

  it('logs of a denied request neither the object nor the message', async () => {
    const { ask, log } = setUp(() => denied({ code: 422, reason: 'Invalid', message: CANARY }));
    await ask(tenant());
    expect(log()).toContain('"code":422,"reason":"Invalid"');
    expect(log()).not.toContain('Canary');
  });

  it('stops when kube-apiserver stops waiting', async () => {
    const { ask, asked } = setUp(({ signal }) => {
      const { promise, reject } = Promise.withResolvers<Verdict>();
      const stop = (): void => reject(new Error('nobody waits'));
      if (signal?.aborted === true) stop();
      signal?.addEventListener('abort', stop, { once: true });
      return promise;
    });
    for (const does of ['mutate', 'validate'] as const)
      expect(await ask(tenant(), { webhook: webhookPath(does, TENANTS), timeout: '20ms' })).toMatchObject({ response: { allowed: false } });
    expect(asked.map(({ does, signal }) => [does, signal?.aborted])).toEqual([
      ['mutate', true],
      ['validate', true],
    ]);
    const gone = new AbortController();
    const answer = ask(tenant(), { gone: gone.signal, timeout: 'nonsense' });
    gone.abort();
    expect(await answer).toMatchObject({ response: { allowed: false } });
  });

  it('counts and times the questions of each path, and no others', async () => {
    const { ask, registry } = setUp();
    await ask(tenant());
    await ask(CANARY);
    await ask(CANARY, { webhook: CANARY });
    const text = await registry.metrics();
    expect(text).toContain(
      'controller_runtime_webhook_requests_total{webhook="/mutate-product-webshop-harikube-info-v1-tenant",code="200"} 2',
    );
    expect(text).toContain('controller_runtime_webhook_requests_in_flight{webhook="/mutate-product-webshop-harikube-info-v1-tenant"} 0');
    expect(text).toContain('controller_runtime_webhook_latency_seconds_count{webhook="/mutate-product-webshop-harikube-info-v1-tenant"} 2');
    const decided = 'harikube_admission_decisions_total{webhook="/mutate-product-webshop-harikube-info-v1-tenant",decision=';
    expect(text).toContain(`${decided}"allowed"} 1`);
    expect(text).toContain(`${decided}"denied"} 0`);
    expect(text).toContain(`${decided}"failed"} 1`);
    expect(text).not.toContain(CANARY);
    expect(new AdmissionMetrics(registry).requests).toBe(registry.getSingleMetric('controller_runtime_webhook_requests_total'));
  });
});

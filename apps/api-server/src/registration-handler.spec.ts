import { describe, expect, it } from '@jest/globals';
import type { RegistrationRequest } from '@harikube/crds';
import { type KubeClient, type StatusDetails, StatusError, type WriteOptions } from '@harikube/kube';
import { FairLimit } from './fair-limit.js';
import type { AskedRegistration, Registration } from './registration.js';
import { type RegistrationCall, RegistrationHandler } from './registration-handler.js';
import type { ExpectedRequest, Outcome } from './registration-waiter.js';
import { condition, PASSWORD, sampleSpec, storedRequest } from './spec/sample-requests.js';

const GROUP = 'api.product.webshop.harikube.info';

function statusError(code: number, reason: string, message = '', details: StatusDetails = {}): StatusError {
  return new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code, details });
}

/** What the API says, and what becomes of a request. */
class Played implements Pick<KubeClient, 'create' | 'get'> {
  readonly created: { readonly name: string | undefined; readonly options: WriteOptions | undefined }[] = [];
  readonly log: string[] = [];
  /** Creates are answered when it resolves. */
  gate = Promise.resolve();
  create_: (request: RegistrationRequest) => RegistrationRequest = (request) => storedRequest(request.metadata.name ?? '', 'u-1');
  get_: () => RegistrationRequest = () => {
    throw statusError(404, 'NotFound');
  };
  outcome: (uid: string, signal: AbortSignal) => Promise<Outcome> = async (uid) => ({
    is: 'gone',
    request: storedRequest('jane', uid, condition('Complete', 'True')),
  });

  async create<T>(_: unknown, object: T, options?: WriteOptions): Promise<T> {
    const request = object as unknown as RegistrationRequest;
    this.created.push({ name: request.metadata.name, options });
    this.log.push('create');
    await this.gate;
    return this.create_(request) as unknown as T;
  }

  async get<T>(): Promise<T> {
    this.log.push('get');
    return this.get_() as unknown as T;
  }

  isKnown = false;

  knows(): boolean {
    return this.isKnown;
  }

  expect(name: string): ExpectedRequest {
    this.log.push(`expect ${name}`);
    const expected: Pick<ExpectedRequest, 'outcome' | 'close'> = {
      outcome: (uid, _, signal) => this.outcome(uid, signal),
      close: () => this.log.push('close'),
    };
    return expected as ExpectedRequest;
  }
}

function setUp(): {
  api: Played;
  handler: RegistrationHandler;
  register: (asked?: Partial<AskedRegistration>, call?: Partial<RegistrationCall>) => Promise<Registration>;
} {
  const api = new Played();
  const seats = new FairLimit({ limit: 10, perUser: 10, queue: 0, queuePerUser: 0, queueMs: 0 });
  const creates = new FairLimit({ limit: 2, perUser: 2, queue: 10, queuePerUser: 10, queueMs: 1000 });
  const handler = new RegistrationHandler({ client: api, waiter: api, seats, creates });
  const register = (asked: Partial<AskedRegistration> = {}, call: Partial<RegistrationCall> = {}): Promise<Registration> =>
    handler.create({
      asked: { name: 'jane', generateName: '', labels: {}, annotations: {}, spec: sampleSpec('jane@example.com'), warnings: [], ...asked },
      options: { isDryRun: false, fieldValidation: 'Strict', fieldManager: 'kubectl' },
      user: { name: 'shop', uid: '', groups: [], extra: {} },
      auditId: '1',
      waitMs: 50_000,
      signal: new AbortController().signal,
      onWaiting: () => api.log.push('waiting'),
      ...call,
    });
  return { api, handler, register };
}

async function refusal(answer: Promise<unknown>): Promise<StatusError> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('RegistrationHandler', () => {
  it('expects a request before it creates it, and answers with what became of it', async () => {
    const { api, register } = setUp();
    expect(await register()).toMatchObject({
      metadata: { name: 'jane' },
      status: { request: 'jane', uid: 'u-1', tenant: 'u-1', namespace: 'u-1', user: 'u-1' },
    });
    expect(api.log).toEqual(['expect jane', 'create', 'waiting', 'close']);
    expect(api.created[0]?.options).toEqual({ fieldManager: 'kubectl', fieldValidation: 'Ignore', dryRun: false });
  });

  it('creates few at once, and the others in their turn', async () => {
    const { api, register } = setUp();
    const gate = Promise.withResolvers<void>();
    api.gate = gate.promise;
    const answers = ['a', 'b', 'c'].map((name) => register({ name }));
    await new Promise(setImmediate);
    expect(api.created.map(({ name }) => name)).toEqual(['a', 'b']);
    gate.resolve();
    await Promise.all(answers);
    expect(api.created.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('passes a dry run on and waits for nothing', async () => {
    const { api, register } = setUp();
    const options = { isDryRun: true, fieldValidation: 'Strict', fieldManager: 'kubectl' } as const;
    expect((await register({ name: '', generateName: 'g-' }, { options })).metadata.name).toMatch(/^g-.{5}$/);
    expect(api.log).toEqual(['create']);
    expect(api.created[0]?.options?.dryRun).toBe(true);
    api.create_ = () => {
      throw statusError(409, 'AlreadyExists');
    };
    expect(await refusal(register({}, { options }))).toMatchObject({ code: 409, reason: 'AlreadyExists' });
  });

  it('joins the running request of the same name and address', async () => {
    const { api, register } = setUp();
    api.create_ = () => {
      throw statusError(409, 'AlreadyExists');
    };
    api.get_ = () => storedRequest('jane', 'u-7');
    const answer = await register({ spec: sampleSpec(' JANE@Example.com ') });
    expect(answer.status.uid).toBe('u-7');
    expect(await refusal(register({ spec: sampleSpec('joe@example.com') }))).toMatchObject({
      code: 409,
      reason: 'AlreadyExists',
      message: `registrations.${GROUP} "jane" already exists: another registration of this name is under way; use another name`,
    });
    expect(await refusal(register({ spec: null }))).toMatchObject({ code: 409 });
  });

  it('joins without a create a request that the watch has shown, and creates one when that is gone', async () => {
    const { api, register } = setUp();
    api.isKnown = true;
    api.get_ = () => storedRequest('jane', 'u-7');
    expect((await register()).status.uid).toBe('u-7');
    expect(api.log).toEqual(['expect jane', 'get', 'waiting', 'close']);
    api.get_ = () => {
      throw statusError(404, 'NotFound');
    };
    expect((await register()).status.uid).toBe('u-1');
  });

  it('joins when admission finds the address taken by the request itself, and repeats its answer when it is taken by another', async () => {
    const { api, register } = setUp();
    const causes = [{ reason: 'FieldValueDuplicate', field: 'spec.user.email' }];
    api.create_ = () => {
      throw statusError(409, 'Conflict', '', { causes });
    };
    api.get_ = () => storedRequest('jane', 'u-7');
    expect((await register()).status.uid).toBe('u-7');
    api.get_ = () => storedRequest('jane', 'u-8', condition('Failed', 'True', 'EmailTaken', 'the address is taken'));
    expect(await refusal(register({ spec: sampleSpec('joe@example.com') }))).toMatchObject({ code: 409, reason: 'Conflict' });
    api.get_ = () => {
      throw statusError(404, 'NotFound');
    };
    expect(await refusal(register())).toMatchObject({ code: 409, reason: 'Conflict' });
  });

  it('says why the one that is there has failed, or that it is going', async () => {
    const { api, register } = setUp();
    api.create_ = () => {
      throw statusError(409, 'AlreadyExists');
    };
    api.get_ = () => storedRequest('jane', 'u-7', condition('Failed', 'True', 'EmailTaken', 'the address is taken'));
    const failed = await refusal(register());
    expect(failed).toMatchObject({
      code: 409,
      reason: 'AlreadyExists',
      status: { details: { causes: [{ field: 'spec.user.email', reason: 'FieldValueDuplicate' }] } },
    });
    expect(failed.message).toContain('the address is taken; the failed request stays for a while');
    api.get_ = () => {
      const going = storedRequest('jane', 'u-7');
      going.metadata.deletionTimestamp = '2026-01-02T03:04:05Z';
      return going;
    };
    expect((await refusal(register())).message).toContain('is being deleted; repeat the request when it is gone');
  });

  it('tries again when the one that was there is gone meanwhile', async () => {
    const { api, register } = setUp();
    let creates = 0;
    api.create_ = (request) => {
      if (creates++ === 0) throw statusError(409, 'AlreadyExists');
      return storedRequest(request.metadata.name ?? '', 'u-2');
    };
    expect((await register()).status.uid).toBe('u-2');
    api.create_ = () => {
      throw statusError(409, 'AlreadyExists');
    };
    expect(await refusal(register())).toMatchObject({ code: 503, retryAfterSeconds: 1 });
  });

  it('makes names until one is free, and joins none', async () => {
    const { api, register } = setUp();
    api.create_ = (request) => {
      if (api.created.length < 3) throw statusError(409, 'AlreadyExists');
      return storedRequest(request.metadata.name ?? '', 'u-1');
    };
    await register({ name: '', generateName: `${'x'.repeat(80)}-` });
    const names = api.created.map(({ name }) => name ?? '');
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(/^x{58}[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    expect(api.log).not.toContain('get');
    api.create_ = () => {
      throw statusError(409, 'AlreadyExists');
    };
    expect(await refusal(register({ name: '', generateName: 'x-' }))).toMatchObject({ code: 409, reason: 'AlreadyExists' });
    expect(api.created).toHaveLength(3 + 8);
  });

  it('turns each end into its Status', async () => {
    const { api, register } = setUp();
    const end = async (outcome: Outcome): Promise<StatusError> => {
      api.outcome = async () => outcome;
      return await refusal(register());
    };
    const failed = (reason: string): RegistrationRequest => storedRequest('jane', 'u-1', condition('Failed', 'True', reason, 'because'));
    expect(await end({ is: 'failed', request: failed('EmailTaken') })).toMatchObject({ code: 409, reason: 'AlreadyExists' });
    expect(await end({ is: 'failed', request: failed('InvalidSpec') })).toMatchObject({ code: 422, reason: 'Invalid' });
    expect(await end({ is: 'failed', request: failed('NamespaceConflict') })).toMatchObject({ code: 409, reason: 'Conflict' });
    expect(await end({ is: 'failed', request: failed('Cancelled') })).toMatchObject({ code: 409, reason: 'Conflict' });
    expect(await end({ is: 'failed', request: failed('Internal') })).toMatchObject({ code: 500, reason: 'InternalError' });
    expect((await end({ is: 'gone', request: failed('EmailTaken') })).message).not.toContain('kubectl delete');
    expect((await end({ is: 'gone', request: storedRequest('jane', 'u-1') })).message).toContain('was deleted before it was complete');
    expect((await end({ is: 'lost', request: null })).code).toBe(500);
    expect((await end({ is: 'pending', request: null })).message).toContain('is the registration-controller running?');
    const pending = storedRequest(
      'jane',
      'u-1',
      condition('Claimed', 'True'),
      condition('TenantReady', 'False', 'Pending', 'no namespace'),
    );
    const late = await end({ is: 'pending', request: pending });
    expect(late).toMatchObject({ code: 504, reason: 'Timeout', retryAfterSeconds: null });
    expect(late.message).toContain('is not complete after 50s: pending: TenantReady (no namespace), UserReady, EmailCreated. It goes on');
    expect(late.status.details?.causes?.map(({ field }) => field)).toEqual(
      ['TenantReady', 'UserReady', 'EmailCreated'].map((type) => `status.conditions[${type}]`),
    );
    const givenUp = storedRequest('jane', 'u-1', condition('Complete', 'False', 'EmailTaken', 'the address is taken'));
    expect((await end({ is: 'pending', request: givenUp })).message).toContain(
      'it has failed (the address is taken), and what was made is being removed',
    );
  });

  it('sends those who wait to another server when it stops, and begins nothing more', async () => {
    const { api, handler, register } = setUp();
    const isWaiting = Promise.withResolvers<void>();
    api.outcome = (_, signal) => {
      isWaiting.resolve();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }));
    };
    const waiting = refusal(register());
    await isWaiting.promise;
    handler.endWaits();
    expect(await refusal(register())).toMatchObject({ code: 503, retryAfterSeconds: 1 });
    expect(api.created).toHaveLength(1);
    expect(await waiting).toMatchObject({ code: 503, retryAfterSeconds: 1 });
  });

  it('shows no password, whatever kube-apiserver says', async () => {
    const { api, register } = setUp();
    api.create_ = () => {
      throw statusError(
        422,
        'Invalid',
        `RegistrationRequest.product.webshop.harikube.info "jane" is invalid: spec.password: Invalid value: "${PASSWORD}"`,
      );
    };
    const error = await refusal(register());
    expect(error.message).toBe(`Registration.${GROUP} "jane" is invalid: spec.password: Invalid value: "***"`);
    expect(JSON.stringify(error.status)).not.toContain(PASSWORD);
  });
});

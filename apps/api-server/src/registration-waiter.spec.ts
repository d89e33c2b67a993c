import { describe, expect, it } from '@jest/globals';
import type { RegistrationRequest } from '@harikube/crds';
import { type InformerHandler, StatusError } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { RegistrationWaiter } from './registration-waiter.js';
import { condition, storedRequest } from './spec/sample-requests.js';

const pending = storedRequest('jane', 'u-1');
const complete = storedRequest('jane', 'u-1', condition('Complete', 'True'));
const failed = storedRequest('jane', 'u-1', condition('Failed', 'True', 'EmailTaken'));
const signal = new AbortController().signal;

/** A cache whose events the spec plays. */
class PlayedInformer {
  #handler: InformerHandler<RegistrationRequest> = {};
  readonly objects = new Map<string, RegistrationRequest>();

  addHandler(handler: InformerHandler<RegistrationRequest>): () => void {
    this.#handler = handler;
    return () => (this.#handler = {});
  }

  get(name: string): RegistrationRequest | undefined {
    return this.objects.get(name);
  }

  set(request: RegistrationRequest): void {
    const name = request.metadata.name ?? '';
    const before = this.objects.get(name);
    this.objects.set(name, request);
    if (before === undefined) this.#handler.onAdd?.(request);
    else this.#handler.onUpdate?.(before, request);
  }

  remove(request: RegistrationRequest): void {
    this.objects.delete(request.metadata.name ?? '');
    this.#handler.onDelete?.(request);
  }
}

function setUp(read: () => Promise<RegistrationRequest> = async () => pending): {
  requests: PlayedInformer;
  waiter: RegistrationWaiter;
  clock: FakeClock;
} {
  const requests = new PlayedInformer();
  const clock = new FakeClock();
  return { requests, clock, waiter: new RegistrationWaiter({ requests, read, clock }) };
}

const notFound = async (): Promise<never> => {
  throw new StatusError({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'NotFound', code: 404 });
};

describe('RegistrationWaiter', () => {
  it('knows the end of a request that came and went before anybody asked for its outcome', async () => {
    const { requests, waiter } = setUp();
    const expected = waiter.expect('jane');
    requests.set(pending);
    requests.set(complete);
    requests.remove(complete);
    expect(await expected.outcome('u-1', 50_000, signal)).toEqual({ is: 'gone', request: complete });
  });

  it('waits until the request is gone, whatever becomes of others', async () => {
    const { requests, waiter } = setUp();
    const expected = waiter.expect('jane');
    requests.set(pending);
    const outcome = expected.outcome('u-1', 50_000, signal);
    requests.set(storedRequest('joe', 'u-2', condition('Failed', 'True')));
    requests.set(complete);
    requests.remove(complete);
    expect((await outcome).is).toBe('gone');
  });

  it('tells a request from an earlier one of its name', async () => {
    const { requests, waiter } = setUp();
    const earlier = storedRequest('jane', 'u-0', condition('Failed', 'True', 'EmailTaken'));
    requests.set(earlier);
    const expected = waiter.expect('jane');
    const outcome = expected.outcome('u-1', 50_000, signal);
    requests.remove(earlier);
    requests.set(pending);
    requests.remove(complete);
    expect(await outcome).toEqual({ is: 'gone', request: complete });
  });

  it('knows of a failure at once, also of one that was there before', async () => {
    const { requests, waiter } = setUp();
    const outcome = waiter.expect('jane').outcome('u-1', 50_000, signal);
    requests.set(failed);
    expect(await outcome).toEqual({ is: 'failed', request: failed });
    expect(await waiter.expect('jane').outcome('u-1', 50_000, signal)).toEqual({ is: 'failed', request: failed });
  });

  it('says how far it is when the time is over', async () => {
    const { requests, waiter, clock } = setUp();
    const outcome = waiter.expect('jane').outcome('u-1', 50_000, signal);
    requests.set(pending);
    await clock.advance(50_000);
    expect(await outcome).toEqual({ is: 'pending', request: pending });
  });

  it('asks for a request that neither watch nor cache shows, and gives it up when it is gone without an end', async () => {
    const { waiter, clock } = setUp(notFound);
    const outcome = waiter.expect('jane').outcome('u-1', 50_000, signal);
    await clock.advance(5000);
    await clock.timerIn(5000);
    await clock.advance(5000);
    expect(await outcome).toEqual({ is: 'lost', request: null });
  });

  it('waits for a watch that is late', async () => {
    let asked = 0;
    const { requests, waiter, clock } = setUp(async () => {
      asked++;
      return await notFound();
    });
    const outcome = waiter.expect('jane').outcome('u-1', 50_000, signal);
    await clock.advance(5000);
    await clock.timerIn(5000);
    requests.set(pending);
    requests.remove(complete);
    expect((await outcome).is).toBe('gone');
    expect(asked).toBe(1);
  });

  it('does not wait for a caller who is gone', async () => {
    const { waiter, clock } = setUp();
    const gone = new AbortController();
    const outcome = waiter.expect('jane').outcome('u-1', 50_000, gone.signal);
    gone.abort(new Error('gone'));
    await expect(outcome).rejects.toThrow('gone');
    expect(clock.timers).toEqual([]);
  });

  it('keeps nothing of what nobody waits for', async () => {
    const { requests, waiter, clock } = setUp();
    const expected = waiter.expect('jane');
    expected.close();
    requests.set(failed);
    requests.objects.clear();
    const outcome = expected.outcome('u-1', 1000, signal);
    await clock.advance(1000);
    expect(await outcome).toEqual({ is: 'pending', request: null });
  });
});

import { type Condition, FAILED_REASONS, REGISTRATION_CONDITIONS, REGISTRATION_REQUESTS, type RegistrationRequest } from '@harikube/crds';
import { type KubeClient, type Resource, StatusError } from '@harikube/kube';

const { claimed, tenantReady, userReady, emailCreated, complete, failed } = REGISTRATION_CONDITIONS;
const RESOURCE: Resource<RegistrationRequest> = REGISTRATION_REQUESTS;

/**
 * Plays the registration-controller: what it does with a request depends on its name. `slow…` waits until it is let go, `taken…` fails, and everything
 * else is complete and gone at once.
 */
export class FakeRegistrationController {
  readonly #stop = new AbortController();
  readonly #slow = new Map<string, { readonly begun: PromiseWithResolvers<void>; readonly go: PromiseWithResolvers<void> }>();
  #work: Promise<void> = Promise.resolve();

  constructor(private readonly client: KubeClient) {}

  async start(): Promise<void> {
    const { metadata } = await this.client.list(RESOURCE, {});
    this.#work = this.#follow(metadata.resourceVersion ?? '');
  }

  /** Resolves when it has seen the slow request. */
  async hasBegun(name: string): Promise<void> {
    await this.#of(name).begun.promise;
  }

  letGo(name: string): void {
    this.#of(name).go.resolve();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#work;
  }

  async #follow(resourceVersion: string): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const { type, object } of this.client.watch(RESOURCE, { resourceVersion, signal, allowBookmarks: true })) {
        const request = object as RegistrationRequest;
        if (type === 'ADDED') void this.#handle(request);
        if (type === 'MODIFIED' && request.metadata.deletionTimestamp !== undefined) void this.#free(request.metadata.name ?? '');
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #handle({ metadata: { name = '', uid = '' } }: RegistrationRequest): Promise<void> {
    if (name.startsWith('taken')) {
      const message = 'the e-mail address belongs to another registration';
      await this.#say(name, { conditions: [condition(failed, 'True', FAILED_REASONS.emailTaken, message)] });
      return;
    }
    if (name.startsWith('slow')) {
      const waiting = condition(tenantReady, 'False', 'Pending', 'the namespace is not there yet');
      await this.#say(name, { conditions: [condition(claimed, 'True', 'AddressClaimed', 'claimed'), waiting] });
      this.#of(name).begun.resolve();
      await this.#of(name).go.promise;
    }
    const done = [claimed, tenantReady, userReady, emailCreated, complete].map((type) => condition(type, 'True', 'Done', 'it is there'));
    await this.#say(name, { tenant: uid, namespace: uid, user: uid, conditions: done });
    await this.#free(name);
    await this.#unlessGone(this.client.delete(RESOURCE, name));
  }

  /** Without the finalizer that admission gives it. */
  async #free(name: string): Promise<void> {
    await this.#unlessGone(this.client.patch(RESOURCE, name, undefined, { metadata: { finalizers: null } }, { type: 'merge' }));
  }

  async #say(name: string, status: object): Promise<void> {
    await this.#unlessGone(this.client.patch(RESOURCE, name, undefined, { status }, { type: 'merge', subresource: 'status' }));
  }

  async #unlessGone(write: Promise<unknown>): Promise<void> {
    try {
      await write;
    } catch (error) {
      if (!(error instanceof StatusError && error.isNotFound)) throw error;
    }
  }

  #of(name: string): { readonly begun: PromiseWithResolvers<void>; readonly go: PromiseWithResolvers<void> } {
    const known = this.#slow.get(name) ?? { begun: Promise.withResolvers<void>(), go: Promise.withResolvers<void>() };
    this.#slow.set(name, known);
    return known;
  }
}

function condition(type: string, status: Condition['status'], reason: string, message: string): Condition {
  return { type, status, reason, message, lastTransitionTime: '2026-01-02T03:04:05Z' };
}

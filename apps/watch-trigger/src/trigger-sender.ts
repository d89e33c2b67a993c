/** Sends the events of one trigger, each as one HTTP request. When, how often and in which order is not decided here. */
import { rootCertificates } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { HTTPTrigger, SecretKeyReference } from '@harikube/crds';
import { type Clock, traceparentOf } from '@harikube/kube';
import { parseGoDuration, traced } from '@harikube/platform';
import { Agent } from 'undici';
import type { AddressPolicy, TlsOptions } from './address-policy.js';
import type { DeliveryFailure } from './cloud-event.js';
import { EventFilter, type FilterFailure } from './event-filter.js';
import { type Attempt, exchange } from './http-exchange.js';
import { type BuildOptions, type HttpRequest, RequestBuilder, type SenderProblem, type TriggerPolicy } from './request-builder.js';
import { sentObject } from './sent-object.js';
import { tlsOptions } from './tls-options.js';
import type { TriggerEvent } from './trigger-event.js';
import { type ReferenceSource, TriggerReferences } from './trigger-references.js';
import { UnsendableError } from './unsendable-error.js';
import { TimeLimitError, withinTime } from './within-time.js';

export type { Attempt } from './http-exchange.js';
export type { SenderProblem, TriggerPolicy } from './request-builder.js';

export interface SenderOptions {
  readonly references: ReferenceSource;
  readonly addresses: AddressPolicy;
  readonly policy: TriggerPolicy;
  readonly clock: Clock;
  /** Product and version. */
  readonly userAgent: string;
}

const TIMEOUT_MS = 10_000;
/** Below the 5 s after which many servers close a connection that nobody uses. */
const KEEP_ALIVE_MS = 4000;
/** Of one connection: then names are resolved again, which may lead elsewhere by now. */
const REQUESTS_PER_CONNECTION = 1000;

interface TlsAgent {
  readonly tls: TlsOptions;
  readonly agent: Agent;
}

/**
 * Compiles the trigger and follows the Secrets and the Service that it names. Never throws for what is wrong with it: that is a problem, and every
 * attempt is `temporary` until the trigger, or what it names, has changed, so that nothing is lost because of it.
 */
export class TriggerSender {
  readonly #trigger: HTTPTrigger;
  readonly #options: SenderOptions;
  readonly #timeoutMs: number;
  readonly #filter: EventFilter;
  readonly #builder: RequestBuilder;
  readonly #references: TriggerReferences;
  readonly #problems: readonly SenderProblem[];
  readonly #retryOn: ReadonlySet<number>;
  readonly #listeners = new Set<() => void>();
  #shown: readonly SenderProblem[];
  /** Made of the Secrets as they are. Null: not made yet. */
  #tls: TlsOptions | null = null;
  #target: TlsAgent | null = null;
  #deadLetters: TlsAgent | null = null;

  constructor(trigger: HTTPTrigger, options: SenderOptions) {
    const { spec, metadata } = trigger;
    this.#trigger = trigger;
    this.#options = options;
    this.#timeoutMs = parseGoDuration(spec.delivery.timeout) ?? TIMEOUT_MS;
    this.#filter = new EventFilter(spec);
    this.#builder = new RequestBuilder(trigger, options.policy);
    this.#retryOn = new Set(spec.retryPolicy?.retryOn);
    const { namespace } = spec.url.service ?? {};
    const isElsewhere = namespace !== undefined && namespace !== metadata.namespace && !options.policy.allowsOtherNamespaces;
    this.#problems = [
      ...(this.#filter.problem === null ? [] : [{ reason: 'TemplateInvalid', message: this.#filter.problem }]),
      ...(isElsewhere
        ? [
            {
              reason: 'NamespaceNotAllowed',
              message: `url.service is of the namespace ${namespace}; here only the trigger's own is allowed`,
            },
          ]
        : []),
      ...this.#builder.problems,
    ];
    this.#references = new TriggerReferences(trigger, options.references, () => this.#changed());
    this.#shown = this.problems();
  }

  /** What is wrong with the trigger at this moment. Secrets and Services come and go. */
  problems(): readonly SenderProblem[] {
    const missing = this.#references.problems().map(problemOf);
    const problems = [...this.#problems, ...missing, ...this.#builder.secretProblems(this.#references), ...this.#tlsProblems()];
    // One Secret may be named several times.
    return problems.filter(({ message }, index) => problems.findIndex((one) => one.message === message) === index);
  }

  /** Called when `problems` has changed. */
  onProblemsChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Whether the trigger is about the event. A failure: the condition cannot be evaluated on this object. */
  matches(event: TriggerEvent): 'yes' | 'no' | FilterFailure {
    return this.#filter.matches(event.type, sentObject(event, this.#options.policy.allowsSecretData));
  }

  /** `attempt` is counted from 1. Rejects only with the signal's reason. */
  send(event: TriggerEvent, attempt: number, signal: AbortSignal): Promise<Attempt> {
    const { name = '', namespace = '' } = this.#trigger.metadata;
    const attributes = { 'k8s.namespace.name': namespace, 'harikube.trigger.name': name, 'harikube.trigger.attempt': attempt };
    const parent = traceparentOf(event.object, event.receivedAt);
    return traced({ name: `deliver ${event.resource.plural}`, kind: 'client', parent, isPart: true, attributes }, async (span) => {
      const ended = await this.#send(event, { ...this.#buildOptions(attempt), traceparent: span.traceparent }, signal);
      if (ended.code !== undefined) span.set({ 'http.response.status_code': ended.code });
      if (ended.outcome !== 'delivered') span.fail(ended.reason);
      return ended;
    });
  }

  #send(event: TriggerEvent, options: BuildOptions, signal: AbortSignal): Promise<Attempt> {
    return this.#attempt(signal, (inner) => {
      const [problem] = this.#problems;
      if (problem !== undefined) throw new UnsendableError('temporary', problem.reason, problem.message);
      const request = this.#builder.build(event, this.#references, options);
      this.#target = this.#agentFor(this.#target, this.#targetTls());
      return this.#exchange(this.#target.agent, request, inner);
    });
  }

  /** Sends to `deadLetter.url` what could not be delivered, and why. Rejects only with the signal's reason. */
  sendDeadLetter(event: TriggerEvent, failure: DeliveryFailure, signal: AbortSignal): Promise<Attempt> {
    return this.#attempt(signal, (inner) => {
      const request = this.#builder.buildDeadLetter(event, failure, this.#references, this.#buildOptions());
      this.#deadLetters = this.#agentFor(this.#deadLetters, this.#deadLetterTls());
      return this.#exchange(this.#deadLetters.agent, request, inner);
    });
  }

  /** Ends the interest in Secrets and Services, and what is being sent. */
  async close(): Promise<void> {
    this.#listeners.clear();
    this.#references.close();
    await Promise.all([this.#target?.agent.destroy(), this.#deadLetters?.agent.destroy()]);
  }

  async #attempt(signal: AbortSignal, send: (inner: AbortSignal) => Promise<Attempt>): Promise<Attempt> {
    const { clock } = this.#options;
    let isKnown = false;
    try {
      return await withinTime({ clock, milliseconds: this.#timeoutMs, signal }, async (inner) => {
        await this.#references.known;
        isKnown = true;
        inner.throwIfAborted();
        return await send(inner);
      });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnsendableError) return { outcome: error.outcome, reason: error.reason, message: error.message };
      if (!(error instanceof TimeLimitError)) throw error;
      const { timeout } = this.#trigger.spec.delivery;
      if (isKnown) return { outcome: 'temporary', reason: 'Timeout', message: `no complete answer within ${timeout}` };
      const message = `the API server did not say within ${timeout} what is in the Secrets and the Service of the trigger`;
      return { outcome: 'temporary', reason: 'ReferencesNotReady', message };
    }
  }

  #exchange(agent: Agent, request: HttpRequest, signal: AbortSignal): Promise<Attempt> {
    return exchange(agent, request, { signal, retryOn: this.#retryOn, now: () => this.#options.clock.now() });
  }

  #buildOptions(attempt?: number): BuildOptions {
    const { clock, userAgent } = this.#options;
    return { attempt, now: clock.now(), userAgent };
  }

  /** Another one when the certificates are others by now. */
  #agentFor(current: TlsAgent | null, tls: TlsOptions): TlsAgent {
    if (current !== null && isDeepStrictEqual(current.tls, tls)) return current;
    // What is under way on the old connections ends on them.
    void current?.agent.close();
    const agent = new Agent({
      connections: this.#trigger.spec.concurrency,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxRequestsPerClient: REQUESTS_PER_CONNECTION,
      // `withinTime` limits the whole.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: this.#options.addresses.connector(tls, this.#timeoutMs),
    });
    return { tls, agent };
  }

  #targetTls(): TlsOptions {
    const { policy } = this.#options;
    this.#tls ??= tlsOptions({
      tls: this.#trigger.spec.auth?.tls,
      allowsInsecure: policy.allowsInsecureTls,
      secret: (ref) => this.#references.secret(ref),
    });
    return this.#tls;
  }

  /** Dead letters go elsewhere, mostly: the trigger's authorities are trusted beside those that all trust, and no certificate is shown. */
  #deadLetterTls(): TlsOptions {
    const caRef = this.#trigger.spec.auth?.tls?.caRef;
    const secret = (ref: SecretKeyReference): Buffer => this.#references.secret(ref);
    const plain = tlsOptions({ tls: undefined, allowsInsecure: false, secret });
    if (caRef === undefined) return plain;
    try {
      const { ca = [] } = tlsOptions({ tls: { caRef, insecureSkipVerify: false }, allowsInsecure: false, secret });
      return { ...plain, ca: [...rootCertificates, ...[ca].flat()] };
    } catch (error) {
      // That it is missing may be why there is a dead letter.
      if (error instanceof UnsendableError) return plain;
      throw error;
    }
  }

  #tlsProblems(): SenderProblem[] {
    try {
      this.#targetTls();
      return [];
    } catch (error) {
      if (!(error instanceof UnsendableError)) throw error;
      // What is missing is said already, or is not known yet.
      return error.reason === 'SecretNotReady' ? [] : [problemOf(error)];
    }
  }

  #changed(): void {
    this.#tls = null;
    const problems = this.problems();
    if (isDeepStrictEqual(problems, this.#shown)) return;
    this.#shown = problems;
    for (const listener of this.#listeners) listener();
  }
}

function problemOf({ reason, message }: UnsendableError): SenderProblem {
  return { reason, message };
}

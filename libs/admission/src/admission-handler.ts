import { isDeepStrictEqual } from 'node:util';
import { isNativeError } from 'node:util/types';
import { type Resource, TRACEPARENT_ANNOTATION } from '@harikube/kube';
import { type Logger, parseGoDuration, type SpanOptions, traced, validTraceparent } from '@harikube/platform';
import type { AdmissionMetrics } from './admission-metrics.js';
import { type AdmissionRequest, ALLOWED, BadReviewError, failed, parseReview, reviewOf, type Verdict } from './admission-review.js';
import { textAt } from './json-object.js';

/** Judges the objects of one kind. */
export interface Admission {
  /** Absent: there is nothing to complete. */
  mutate?(request: AdmissionRequest, signal: AbortSignal): Promise<Verdict> | Verdict;
  validate(request: AdmissionRequest, signal: AbortSignal): Promise<Verdict> | Verdict;
}

export type JudgedKind = Pick<Resource<unknown>, 'group' | 'version' | 'kind'>;

export interface AdmissionHandlerOptions {
  readonly admissions: readonly (readonly [kind: JudgedKind, admission: Admission])[];
  readonly metrics: AdmissionMetrics;
  readonly logger: Logger;
}

/** A question as HTTP brings it. */
export interface Question {
  /** The path without its slash. */
  readonly webhook: string;
  readonly contentType: string | undefined;
  /** What kube-apiserver says of its patience, such as `10s`. */
  readonly timeout: string | undefined;
  /** Rejects with `BodyTooLargeError`. */
  readonly body: () => Promise<string>;
  /** Aborts when nobody waits for the answer. */
  readonly gone: AbortSignal;
  /** W3C's trace context, which kube-apiserver sends when it traces. */
  readonly traceparent?: string | undefined;
}

export class BodyTooLargeError extends Error {
  override readonly name = 'BodyTooLargeError';
}

/** kube-apiserver's own default and most. */
const DEFAULT_TIMEOUT_MS = 10_000;
const MOST_TIMEOUT_MS = 30_000;
/** An answer that says that the time is over has to arrive before it is. */
const ANSWER_MS = 500;

/** The path on which kube-apiserver asks for what is to be done to objects of a kind. */
export function webhookPath(does: 'mutate' | 'validate', { group, version, kind }: JudgedKind): string {
  return `${does}-${group.replaceAll('.', '-')}-${version}-${kind.toLowerCase()}`;
}

/** Answers questions, every one of them: what goes wrong is a refusal too, and of an object nothing is logged but its kind. */
export class AdmissionHandler {
  readonly #options: AdmissionHandlerOptions;
  readonly #webhooks: ReadonlyMap<string, 'mutate' | 'validate'>;

  constructor(options: AdmissionHandlerOptions) {
    this.#options = options;
    this.#webhooks = new Map(
      (['mutate', 'validate'] as const).flatMap((does) =>
        options.admissions
          .filter(([, admission]) => admission[does] !== undefined)
          .map(([kind]) => [webhookPath(does, kind), does] as const),
      ),
    );
    for (const webhook of this.#webhooks.keys()) options.metrics.begin(`/${webhook}`);
  }

  /** The body of the answer; null: there is no such webhook. */
  async answer(question: Question): Promise<object | null> {
    const { webhook } = question;
    const does = this.#webhooks.get(webhook);
    if (does === undefined) return null;
    const { latency, inFlight, requests, decisions } = this.#options.metrics;
    // As controller-runtime labels them.
    const labels = { webhook: `/${webhook}` };
    const stop = latency.startTimer(labels);
    inFlight.inc(labels);
    try {
      const read = await this.#read(question);
      const attributes = { 'http.route': labels.webhook };
      const place = placeInTrace(question.traceparent, 'verdict' in read ? null : read);
      const { uid, verdict, decision } = await traced(
        { name: `admission ${does}`, kind: 'server', ...place, isPart: true, attributes },
        async (span) => {
          const judged = 'verdict' in read ? read : await this.#judge(question, read, does);
          span.set({ 'harikube.admission.decision': judged.decision });
          if (judged.decision === 'failed') span.fail('failed');
          return judged;
        },
      );
      decisions.inc({ ...labels, decision });
      return reviewOf(uid, verdict);
    } finally {
      inFlight.dec(labels);
      requests.inc({ ...labels, code: 200 });
      stop();
    }
  }

  async #read({ webhook, contentType, body }: Question): Promise<AdmissionRequest | Judgement> {
    try {
      if (contentType?.split(';')[0]?.trim().toLowerCase() !== 'application/json') throw new BadReviewError('application/json is wanted');
      return parseReview(await body());
    } catch (error) {
      return this.#failure(error, webhook, '');
    }
  }

  async #judge({ webhook, timeout, gone }: Question, request: AdmissionRequest, does: 'mutate' | 'validate'): Promise<Judgement> {
    const { uid, operation, kind } = request;
    try {
      const signal = AbortSignal.any([gone, AbortSignal.timeout(patience(timeout))]);
      const verdict = await this.#ask(request, does, signal);
      if (verdict.denial !== null) {
        const { code, reason } = verdict.denial;
        this.#options.logger.debug('request denied', { webhook, uid, operation, kind: kind.kind, code, reason });
      }
      return { uid, verdict, decision: verdict.denial === null ? 'allowed' : 'denied' };
    } catch (error) {
      return this.#failure(error, webhook, uid);
    }
  }

  #failure(error: unknown, webhook: string, uid: string): Judgement {
    if (error instanceof BadReviewError) return { uid: error.uid, verdict: failed(400, 'BadRequest', error.message), decision: 'failed' };
    if (error instanceof BodyTooLargeError)
      return { uid, verdict: failed(413, 'RequestEntityTooLarge', error.message), decision: 'failed' };
    // The message of an error may quote what was judged; where it was thrown does not.
    const name = isNativeError(error) ? error.name : typeof error;
    this.#options.logger.error('admission failed', { webhook, uid, error: name, at: placeOf(error) });
    return { uid, verdict: failed(500, 'InternalError', 'the admission webhook failed; its log says where'), decision: 'failed' };
  }

  /** By the kind of the object and not by the path: with `matchPolicy: Equivalent` the object is shown in the version of the rule. */
  #ask(request: AdmissionRequest, does: 'mutate' | 'validate', signal: AbortSignal): Promise<Verdict> | Verdict {
    const { kind, subresource, uid } = request;
    const [, admission] =
      this.#options.admissions.find(([{ group, version, kind: name }]) => isDeepStrictEqual(kind, { group, version, kind: name })) ?? [];
    if (admission === undefined) throw new BadReviewError('objects of this kind are not judged here', uid);
    // A status is its controller's affair.
    if (subresource !== '') return ALLOWED;
    if (does === 'validate') return admission.validate(request, signal);
    if (admission.mutate === undefined) throw new BadReviewError('objects of this kind are not completed here', uid);
    return admission.mutate(request, signal);
  }
}

interface Judgement {
  readonly uid: string;
  readonly verdict: Verdict;
  readonly decision: 'allowed' | 'denied' | 'failed';
}

/**
 * An object that comes to be in the course of a trace is judged in that trace. kube-apiserver that traces begins another one for requests of all but
 * its administrators: then the span that asks is a link.
 */
function placeInTrace(asks: string | undefined, request: AdmissionRequest | null): Pick<SpanOptions, 'parent' | 'link'> {
  const annotation =
    request?.operation === 'CREATE' ? textAt(request.object, ['metadata', 'annotations', TRACEPARENT_ANNOTATION]) : undefined;
  const made = validTraceparent(annotation);
  return made === undefined || traceIdOf(made) === traceIdOf(asks) ? { parent: asks } : { parent: made, link: asks };
}

function traceIdOf(traceparent: string | undefined): string | undefined {
  return validTraceparent(traceparent)?.split('-')[1];
}

function patience(timeout: string | undefined): number {
  const milliseconds = Math.min(parseGoDuration(timeout ?? '') ?? DEFAULT_TIMEOUT_MS, MOST_TIMEOUT_MS);
  return Math.max(0, Math.floor(milliseconds - Math.min(ANSWER_MS, milliseconds / 10)));
}

/** The lines of the stack that name places. */
function placeOf(error: unknown): string[] {
  const stack = isNativeError(error) ? (error.stack ?? '') : '';
  return stack
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^at .*:\d+:\d+\)?$/.test(line))
    .slice(0, 8);
}

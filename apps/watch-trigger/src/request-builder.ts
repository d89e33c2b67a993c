/** What one event becomes as one HTTP request. */
import type { HTTPTrigger, SecretKeyReference } from '@harikube/crds';
import { type KubeObject, stringifyExact } from '@harikube/kube';
import { BoundedTemplate } from './bounded-template.js';
import { cloudEventHeaders, deadLetterHeaders, type DeliveryFailure, type TriggerName } from './cloud-event.js';
import { Redaction } from './redaction.js';
import { sentObject } from './sent-object.js';
import { bodySignature, timestampedSignature } from './signature.js';
import { httpUrl, TargetUrl, UrlError } from './target-url.js';
import type { TriggerEvent } from './trigger-event.js';
import type { TriggerReferences } from './trigger-references.js';
import { UnsendableError } from './unsendable-error.js';

export interface SenderProblem {
  /** In CamelCase, for programs. */
  readonly reason: string;
  readonly message: string;
}

export interface TriggerPolicy {
  readonly allowsInsecureTls: boolean;
  readonly allowsTemplatedHosts: boolean;
  readonly allowsSecretData: boolean;
  /** Whether a trigger may name a Service of another namespace. */
  readonly allowsOtherNamespaces: boolean;
}

export interface HttpRequest {
  readonly url: URL;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  /** By names in lower case; the bytes of the values as Latin-1. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  /** Of what is secret in it. */
  readonly redaction: Redaction;
}

export interface BuildOptions {
  /** From 1. Absent: it is not said. */
  readonly attempt?: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly userAgent: string;
  /** W3C's trace context; undefined: none. */
  readonly traceparent?: string | undefined;
}

const MAX_HEADER_BYTES = 8192;
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** They belong to the connection, or say what the event is. */
const RESERVED = new Set(['host', 'content-length', 'connection', 'transfer-encoding', 'keep-alive', 'upgrade', 'te', 'trailer', 'expect']);
/** How often this event has been tried, from 1. */
const ATTEMPT_HEADER = 'x-delivery-attempt';

type HeaderText = (object: KubeObject) => string;

export class RequestBuilder {
  /** What is wrong with the trigger itself; only a change of it helps. */
  readonly problems: readonly SenderProblem[];
  readonly #spec: HTTPTrigger['spec'];
  readonly #trigger: TriggerName;
  readonly #allowsSecretData: boolean;
  readonly #url: TargetUrl | null;
  readonly #headers: readonly (readonly [name: string, text: HeaderText])[];
  readonly #secretHeaders: readonly (readonly [name: string, ref: SecretKeyReference])[];
  readonly #body: BoundedTemplate | null;
  readonly #deadLetterUrl: URL | null;

  constructor({ metadata, spec }: HTTPTrigger, policy: TriggerPolicy) {
    const problems: SenderProblem[] = [];
    /** Null, and a problem, for what cannot be made. */
    const made = <T>(make: () => T, reason: string): T | null => {
      try {
        return make();
      } catch (error) {
        problems.push({ reason: error instanceof UrlError ? 'UrlInvalid' : reason, message: messageOf(error) });
        return null;
      }
    };
    this.#spec = spec;
    this.#trigger = { name: metadata.name ?? '', namespace: metadata.namespace ?? '' };
    this.#allowsSecretData = policy.allowsSecretData;
    this.#url = made(() => new TargetUrl(spec.url, policy), 'TemplateInvalid');
    const { headers = {}, body, deadLetter } = spec;
    const fixed = Object.entries(headers.static ?? {}).map(([name, value]) => [name, () => value] as const);
    const templates = Object.entries(headers.template ?? {}).flatMap(([name, text]) => {
      const template = made(
        () => new BoundedTemplate(text, { field: `headers.template[${name}]`, maxBytes: MAX_HEADER_BYTES }),
        'TemplateInvalid',
      );
      return template === null ? [] : [[name, (object: KubeObject) => template.execute(object)] as const];
    });
    const isName = (name: string): boolean => made(() => checkedName(name), 'HeaderInvalid') !== null;
    this.#headers = [...fixed, ...templates].filter(([name]) => isName(name));
    this.#secretHeaders = Object.entries(headers.fromSecretRef ?? {}).filter(([name]) => isName(name));
    if (body?.signature !== undefined) isName(body.signature.header);
    for (const [name, value] of Object.entries(headers.static ?? {})) made(() => headerBytes(name, value), 'HeaderInvalid');
    this.#body =
      body === undefined
        ? null
        : made(() => new BoundedTemplate(body.template, { field: 'body.template', maxBytes: MAX_BODY_BYTES }), 'TemplateInvalid');
    const deadLetterText = deadLetter?.url;
    this.#deadLetterUrl = deadLetterText === undefined ? null : made(() => httpUrl(deadLetterText, 'deadLetter.url'), 'UrlInvalid');
    this.problems = problems;
  }

  /** Throws `UnsendableError`. */
  build(event: TriggerEvent, references: TriggerReferences, options: BuildOptions): HttpRequest {
    const [problem] = this.problems;
    if (problem !== undefined || this.#url === null) {
      throw new UnsendableError('temporary', problem?.reason ?? 'UrlInvalid', problem?.message ?? 'the trigger has no URL');
    }
    const object = sentObject(event, this.#allowsSecretData);
    const url = this.#url.of(object, () => references.serviceOrigin());
    const isBodiless = this.#body === null || this.#spec.method === 'GET';
    const body = isBodiless ? null : Buffer.from(this.#body.execute(object));
    const headers = this.#ownHeaders(event, { ...options, hasBody: body !== null });
    for (const [name, text] of this.#headers) headers.set(name.toLowerCase(), headerBytes(name, text(object)));
    const secrets: string[] = [];
    for (const [name, ref] of this.#secretHeaders) headers.set(name.toLowerCase(), secretHeader(name, ref, references, secrets));
    const authorization = this.#authorization(references, secrets);
    if (authorization !== null) headers.set('authorization', authorization);
    this.#sign(headers, { event, references, secrets, now: options.now, body: body ?? Buffer.alloc(0) });
    return { url, method: this.#spec.method, headers: Object.fromEntries(headers), body, redaction: new Redaction(secrets) };
  }

  /**
   * The same, to where dead letters go: without what proves to the target who is asking, and with the reason. What the object does not make is left
   * out; in place of a body that it does not make it goes itself. Throws `UnsendableError`.
   */
  buildDeadLetter(event: TriggerEvent, failure: DeliveryFailure, references: TriggerReferences, options: BuildOptions): HttpRequest {
    if (this.#deadLetterUrl === null) throw new UnsendableError('temporary', 'UrlInvalid', 'the trigger has no usable deadLetter.url');
    const object = sentObject(event, this.#allowsSecretData);
    const made = orNull(() => (this.#body === null || this.#spec.method === 'GET' ? undefined : this.#body.execute(object)));
    const body = made === undefined ? null : Buffer.from(made ?? stringifyExact(object));
    const headers = this.#ownHeaders(event, { ...options, hasBody: body !== null });
    for (const [name, text] of this.#headers) {
      const value = PROOFS.has(name.toLowerCase()) ? null : orNull(() => headerBytes(name, text(object)));
      if (value !== null) headers.set(name.toLowerCase(), value);
    }
    for (const [name] of this.#secretHeaders) headers.delete(name.toLowerCase());
    if (this.#spec.body?.signature !== undefined) headers.delete(this.#spec.body.signature.header.toLowerCase());
    if (made === null) headers.set('content-type', 'application/json');
    const destination = orNull(() => this.#url?.of(object, () => references.serviceOrigin()) ?? null);
    for (const [name, value] of Object.entries(deadLetterHeaders(failure, destination))) headers.set(name, value);
    return { url: this.#deadLetterUrl, method: 'POST', headers: Object.fromEntries(headers), body, redaction: new Redaction([]) };
  }

  /** What is wrong with the values of Secrets that are there. */
  secretProblems(references: TriggerReferences): SenderProblem[] {
    const bearer = this.#spec.auth?.bearer;
    const all = bearer === undefined ? this.#secretHeaders : [...this.#secretHeaders, ['authorization', bearer.secretKeyRef] as const];
    return all.flatMap(([name, ref]) => {
      try {
        secretHeader(name, ref, references, []);
        return [];
      } catch (error) {
        if (!(error instanceof UnsendableError)) throw error;
        return error.reason === 'SecretInvalid' ? [{ reason: error.reason, message: error.message }] : [];
      }
    });
  }

  #ownHeaders(event: TriggerEvent, options: BuildOptions & { readonly hasBody: boolean }): Map<string, string> {
    const { attempt, userAgent, traceparent, hasBody } = options;
    const headers = new Map(Object.entries(cloudEventHeaders(event, this.#trigger)));
    // Of this request, and by CloudEvents' extension of the event, for whoever takes it off a queue later.
    if (traceparent !== undefined) for (const name of ['traceparent', 'ce-traceparent']) headers.set(name, traceparent);
    headers.set('user-agent', userAgent);
    if (attempt !== undefined) headers.set(ATTEMPT_HEADER, String(attempt));
    if (hasBody && this.#spec.body !== undefined) headers.set('content-type', this.#spec.body.contentType);
    return headers;
  }

  #authorization(references: TriggerReferences, secrets: string[]): string | null {
    const { basicAuth, bearer } = this.#spec.auth ?? {};
    if (basicAuth !== undefined) {
      const password = references.secret(basicAuth.secretKeyRef);
      const pair = Buffer.concat([Buffer.from(`${basicAuth.user}:`), password]).toString('base64');
      secrets.push(password.toString(), pair);
      return `Basic ${pair}`;
    }
    return bearer === undefined ? null : `Bearer ${secretHeader('authorization', bearer.secretKeyRef, references, secrets)}`;
  }

  #sign(headers: Map<string, string>, { event, references, secrets, now, body }: SigningInput): void {
    const signature = this.#spec.body?.signature;
    if (signature === undefined) return;
    const { keySecretRef, previousKeySecretRef, hmac, scheme } = signature;
    const current = references.secret(keySecretRef);
    const previous = previousKeySecretRef === undefined ? undefined : references.secret(previousKeySecretRef);
    const keys = { current, previous };
    const value =
      scheme === 'Body'
        ? bodySignature(hmac.hashType, keys, body)
        : timestampedSignature(hmac.hashType, keys, { seconds: Math.floor(now / 1000), id: event.id }, body);
    secrets.push(current.toString(), ...(previous === undefined ? [] : [previous.toString()]), value);
    headers.set(signature.header.toLowerCase(), value);
  }
}

interface SigningInput {
  readonly event: TriggerEvent;
  readonly references: TriggerReferences;
  readonly secrets: string[];
  readonly now: number;
  readonly body: Buffer;
}

/** Headers that may prove who is asking, however they were given. */
const PROOFS = new Set(['authorization', 'proxy-authorization', 'cookie']);

/** Throws an Error. */
function checkedName(name: string): string {
  const lower = name.toLowerCase();
  if (!TOKEN.test(name)) throw new Error(`"${name}" is no name of a header`);
  if (RESERVED.has(lower) || lower.startsWith('ce-')) throw new Error(`the header ${name} is not the trigger's to set`);
  return name;
}

/** Throws `UnsendableError` HeaderInvalid. UTF-8 is sent as its bytes. */
function headerBytes(name: string, value: string): string {
  const bytes = Buffer.byteLength(value);
  if (bytes > MAX_HEADER_BYTES) {
    throw new UnsendableError(
      'refused',
      'HeaderInvalid',
      `the value of the header ${name} is of ${bytes} bytes; at most ${MAX_HEADER_BYTES} are sent`,
    );
  }
  if (/[\0-\x08\x0a-\x1f\x7f]/.test(value)) {
    throw new UnsendableError(
      'refused',
      'HeaderInvalid',
      `the value of the header ${name} has line breaks or other control characters in it`,
    );
  }
  return Buffer.from(value).toString('latin1');
}

/** A Secret that was made of a file often ends with a line break. Throws `UnsendableError` SecretNotReady or SecretInvalid. */
function secretHeader(name: string, ref: SecretKeyReference, references: TriggerReferences, secrets: string[]): string {
  const text = references
    .secret(ref)
    .toString()
    .replace(/\r?\n$/, '');
  secrets.push(text);
  try {
    return headerBytes(name, text);
  } catch (error) {
    if (!(error instanceof UnsendableError)) throw error;
    throw new UnsendableError(
      'temporary',
      'SecretInvalid',
      `the key "${ref.key}" of the Secret ${ref.name} is no value of a header: ${error.message}`,
    );
  }
}

/** Null for what cannot be sent. */
function orNull<T>(make: () => T): T | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof UnsendableError) return null;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

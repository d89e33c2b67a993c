/** One request, one answer, and what that means for the event. */
import type { Dispatcher } from 'undici';
import { AddressNotAllowedError } from './address-policy.js';
import type { HttpRequest } from './request-builder.js';

/** How an attempt to send an event ended. Reasons are in CamelCase, for programs. */
export type Attempt =
  | { readonly outcome: 'delivered'; readonly code: number }
  | {
      readonly outcome: 'temporary';
      readonly reason: string;
      readonly message: string;
      readonly code?: number;
      /** What the receiver asks to wait. */
      readonly retryAfterMs?: number;
      /** The beginning of the answer. */
      readonly response?: string;
    }
  | {
      readonly outcome: 'refused';
      readonly reason: string;
      readonly message: string;
      readonly code?: number;
      readonly response?: string;
    };

export interface ExchangeOptions {
  readonly signal: AbortSignal;
  /** Further codes that are temporary. */
  readonly retryOn: ReadonlySet<number>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Of an answer. */
const SHOWN_BYTES = 1024;
/** An answer that is longer is left unread, and its connection closed. */
const READ_BYTES = 64 * 1024;
const TEMPORARY = new Set([408, 409, 425, 429]);
const TLS_CODES =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO$|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/;

/** Rejects with the reason of the signal only. */
export async function exchange(dispatcher: Dispatcher, request: HttpRequest, options: ExchangeOptions): Promise<Attempt> {
  const { url, method, headers, body } = request;
  let answer: Dispatcher.ResponseData;
  try {
    const { origin, pathname, search } = url;
    answer = await dispatcher.request({ origin, path: `${pathname}${search}`, method, headers, body, signal: options.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    return failureOf(error, request);
  }
  const { statusCode: code } = answer;
  const isSuccess = code >= 200 && code < 300;
  let response: string;
  try {
    response = await beginning(answer.body, request);
  } catch (error) {
    options.signal.throwIfAborted();
    // Of another answer the code says enough.
    if (isSuccess) return failureOf(error, request);
    response = '';
  }
  if (isSuccess) return { outcome: 'delivered', code };
  const shown = response === '' ? {} : { response };
  const said = { reason: `HTTP${code}`, code, message: sentence(code, response), ...shown };
  if (!TEMPORARY.has(code) && code < 500 && !options.retryOn.has(code)) return { outcome: 'refused', ...said };
  const retryAfterMs = retryAfter(answer.headers['retry-after'], options.now());
  return { outcome: 'temporary', ...said, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
}

/** What is shown of a body; the rest is read so that the connection can be used again. */
async function beginning(body: Dispatcher.ResponseData['body'], { redaction }: HttpRequest): Promise<string> {
  const enough = SHOWN_BYTES + 4 * redaction.longest;
  const parts: Buffer[] = [];
  let kept = 0;
  let read = 0;
  let isCut = false;
  for await (const part of body as AsyncIterable<Buffer>) {
    if (kept < enough) {
      parts.push(part.subarray(0, enough - kept));
      kept += Math.min(part.length, enough - kept);
    }
    read += part.length;
    isCut = read > kept || read > READ_BYTES;
    // To leave the loop destroys the body.
    if (read > READ_BYTES) break;
  }
  const text = redaction.of(Buffer.concat(parts).toString(), { isCut });
  return Buffer.from(text.replace(/\p{Cc}+/gu, ' '))
    .subarray(0, SHOWN_BYTES)
    .toString()
    .replace(/\uFFFD$/, '')
    .trim();
}

function sentence(code: number, response: string): string {
  if (code >= 300 && code < 400) return `the receiver answered ${code}; redirects are not followed`;
  return response === '' ? `the receiver answered ${code}` : `the receiver answered ${code}: ${response}`;
}

function failureOf(error: unknown, { redaction, url }: HttpRequest): Attempt {
  if (error instanceof AddressNotAllowedError) return { outcome: 'refused', reason: 'AddressNotAllowed', message: error.message };
  const isTls = TLS_CODES.test(codeOf(error));
  const message = redaction.of(`${url.host}: ${textOf(error)}`);
  return { outcome: 'temporary', reason: isTls ? 'TlsFailed' : 'ConnectionFailed', message };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** Several addresses that all refuse make an error without a message. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return error.message !== '' ? error.message : first instanceof Error ? first.message : codeOf(error) || error.name;
}

/** Seconds, or a date. Null: nothing that can be understood is asked. */
function retryAfter(value: string | string[] | undefined, now: number): number | null {
  if (typeof value !== 'string') return null;
  if (/^\d{1,9}$/.test(value.trim())) return 1000 * Number(value);
  // Each form of an HTTP date begins with the name of a day; other texts might be read as some date.
  const time = /^[A-Za-z]{3}/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? null : Math.max(0, time - now);
}

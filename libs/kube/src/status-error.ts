/** What the API answers instead of an object when it says no. */
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: object;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code?: number;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

/** The server answered, and the answer is not a success. Nothing was changed, unless the code is 5xx. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: number;
  /** Empty when the server gives none. */
  readonly reason: string;
  readonly status: Status;
  /** What the server asks a client to wait; null: nothing is asked. */
  readonly retryAfterSeconds: number | null;

  constructor(status: Status, { code = status.code ?? 500, retryAfterSeconds = null as number | null } = {}) {
    super(status.message ?? `the server answered ${code}`);
    this.status = status;
    this.code = code;
    this.reason = status.reason ?? '';
    this.retryAfterSeconds = status.details?.retryAfterSeconds ?? retryAfterSeconds;
  }

  /** Of an answer whose body may be anything: proxies and filters answer in plain text. */
  static ofAnswer(code: number, body: string, retryAfter: string | undefined): StatusError {
    const status = statusIn(body) ?? {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      code,
      message: plainMessage(code, body),
    };
    return new StatusError(status, { code, retryAfterSeconds: secondsIn(retryAfter) });
  }

  get isNotFound(): boolean {
    return this.code === 404;
  }

  get isAlreadyExists(): boolean {
    return this.code === 409 && this.reason === 'AlreadyExists';
  }

  /** The object has changed since it was read. */
  get isConflict(): boolean {
    return this.code === 409 && this.reason !== 'AlreadyExists';
  }

  /** The version, or the place in a list, is older than what the server still knows. */
  get isGone(): boolean {
    return this.code === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }

  get isInvalid(): boolean {
    return this.code === 422;
  }

  get isForbidden(): boolean {
    return this.code === 403;
  }

  get isUnauthorized(): boolean {
    return this.code === 401;
  }

  get isTooManyRequests(): boolean {
    return this.code === 429;
  }

  /** The server gave up; what was asked may have been done. */
  get isTimeout(): boolean {
    return this.code === 504;
  }

  /** The server could not do it in time and asks to try again. */
  get isServerTimeout(): boolean {
    return this.reason === 'ServerTimeout';
  }

  /** Nothing can be created in the namespace, which is on its way out. */
  get isNamespaceTerminating(): boolean {
    return this.code === 403 && this.#hasCause('NamespaceTerminating');
  }

  /** The server has not seen the version that was asked for, and may never: its data was put back to an older state. */
  get isVersionTooLarge(): boolean {
    return this.#hasCause('ResourceVersionTooLarge') || /too large resource version/i.test(this.message);
  }

  #hasCause(reason: string): boolean {
    return this.status.details?.causes?.some((cause) => cause.reason === reason) ?? false;
  }
}

/** There was no answer: refused, reset, cut, TLS, or too late. Whether a write was done is not known. The original is the cause. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
}

/** True when a JSON value is a Status. */
export function isStatus(value: unknown): value is Status {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Status' && 'status' in value;
}

function statusIn(body: string): Status | null {
  try {
    const value: unknown = JSON.parse(body);
    return isStatus(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

const SHOWN_CHARACTERS = 500;

function plainMessage(code: number, body: string): string {
  const text = body.trim();
  return text === '' ? `the server answered ${code}` : `the server answered ${code}: ${text.slice(0, SHOWN_CHARACTERS)}`;
}

/** The form with a date is not used by Kubernetes. */
function secondsIn(retryAfter: string | undefined): number | null {
  return retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : null;
}

import { isNativeError } from 'node:util/types';
import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

export type LogFormat = 'plain' | 'json';

/** Values that a line may carry beside its message. An `Error` under `err` is written with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * A log line is a constant message and fields. Error: somebody must act. Warn: it heals by itself, or it will not stay without
 * consequence. Values of Kubernetes objects and credentials are never fields.
 *
 * Every line has `time` (RFC 3339, UTC), `level` and `msg`. Names that all programs share: `err` an Error; `service` the program where several run in
 * one process; `context` a class of the framework; `controller`, `reconcileID`, `namespace`, `name` of a reconcile and its object; `backend` a database
 * of the topology; `auditId`, `user`, `verb`, `code` of a request to the API server; `webhook`, `uid`, `operation` of an admission.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines all carry `fields`. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  readonly format: LogFormat;
  readonly debug: boolean;
  /** Standard error unless told. */
  readonly destination?: { write(text: string): unknown };
}

export function createLogger({ format, debug, destination = process.stderr }: LoggerOptions): Logger {
  const stream: DestinationStream = {
    write: (line) => {
      destination.write(format === 'json' ? line : plainLine(line));
    },
  };
  const root = pino(
    {
      level: debug ? 'debug' : 'info',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorFields },
    },
    stream,
  );
  return new PinoBackedLogger(root);
}

class PinoBackedLogger implements Logger {
  constructor(private readonly pino: PinoLogger) {}

  debug(message: string, fields: LogFields = {}): void {
    this.pino.debug(printable(fields), message);
  }

  info(message: string, fields: LogFields = {}): void {
    this.pino.info(printable(fields), message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.pino.warn(printable(fields), message);
  }

  error(message: string, fields: LogFields = {}): void {
    this.pino.error(printable(fields), message);
  }

  child(fields: LogFields): Logger {
    return new PinoBackedLogger(this.pino.child(printable(fields)));
  }
}

/** JSON has no bigint, and revisions are bigints; a key is bytes that people read as text. */
function printable(fields: LogFields): LogFields {
  const entries = Object.entries(fields);
  if (!entries.some(([, value]) => typeof value === 'bigint' || value instanceof Uint8Array)) {
    return fields;
  }
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString() : value,
    ]),
  );
}

function errorFields(error: unknown): unknown {
  if (!isNativeError(error)) {
    return error;
  }
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: errorFields(error.cause) }),
  };
}

/** `2026-11-22T22:40:01.123Z INFO  message field=value`; the stack of an error follows on lines of its own, indented. */
function plainLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const head = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}`;
  const tail = Object.entries(fields).map(([name, value]) => ` ${name}=${plainValue(value)}`);
  return `${head}${tail.join('')}${plainError(err)}\n`;
}

function plainValue(value: unknown): string {
  if (typeof value !== 'string') {
    return JSON.stringify(value);
  }
  return /^[^\s"=\p{Cc}]+$/u.test(value) ? value : JSON.stringify(value);
}

function plainError(error: unknown): string {
  if (error === undefined) {
    return '';
  }
  if (error === null || typeof error !== 'object') {
    return ` err=${plainValue(error)}`;
  }
  const { message, stack, cause } = error as { message?: unknown; stack?: unknown; cause?: unknown };
  const shown = ` err=${plainValue(String(message))}`;
  const trace = typeof stack === 'string' ? `\n${stack.replace(/^/gm, '  ')}` : '';
  return cause === undefined ? shown + trace : `${shown}${trace}\n  caused by${plainError(cause)}`;
}

/** The part of Nest's `LoggerService` contract that it calls, spelled out so that the adapter needs no framework. */
export class NestLogger {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Nest's own chatter at start-up is for developers. */
  log(message: unknown, ...rest: unknown[]): void {
    this.#logger.debug(text(message), contextOf(rest));
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.#logger.debug(text(message), contextOf(rest));
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.#logger.debug(text(message), contextOf(rest));
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.#logger.warn(text(message), contextOf(rest));
  }

  error(message: unknown, ...rest: unknown[]): void {
    const fields = contextOf(rest);
    // What fails at start-up is thrown to whoever started Nest as well, who says it once and in one sentence.
    if (fields['context'] === 'ExceptionHandler' || fields['context'] === 'NestApplication') {
      this.#logger.debug(text(message), fields);
      return;
    }
    // Nest hands the stack over as a text of several lines.
    const stack = rest.find((item) => typeof item === 'string' && item.includes('\n'));
    const err = isNativeError(message) ? { err: message } : stack === undefined ? {} : { stack };
    this.#logger.error(text(message), { ...fields, ...err });
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.error(message, ...rest);
  }
}

function text(message: unknown): string {
  if (isNativeError(message)) {
    return message.message;
  }
  return typeof message === 'string' ? message : JSON.stringify(message);
}

/** Nest passes the name of the class that logs as the last argument. */
function contextOf(rest: readonly unknown[]): LogFields {
  const last = rest.at(-1);
  return typeof last === 'string' && !last.includes('\n') ? { context: last } : {};
}

import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { didYouMean, parseGoDuration } from '@harikube/platform';
import { EndpointError } from './endpoint-error.js';
import { type EtcdEndpoint, etcdIdentity, etcdLocation, parseEtcd } from './endpoints/etcd.js';
import { type MysqlEndpoint, mysqlIdentity, mysqlLocation, parseMysql } from './endpoints/mysql.js';
import { parsePostgres, type PostgresEndpoint, postgresIdentity, postgresLocation } from './endpoints/postgres.js';

export { EndpointError };

/** A SQLite file and how it is opened. */
export interface SqliteEndpoint {
  readonly scheme: 'sqlite';
  /** Absolute. */
  readonly path: string;
  /** `full`: an acknowledged write survives a power cut. `normal`: the last writes before one may be lost, the file stays whole. */
  readonly synchronous: 'full' | 'normal';
  /** How long to wait for another program's lock. */
  readonly busyTimeoutMs: number;
}

/** A database and how it is reached. */
export type Endpoint = SqliteEndpoint | PostgresEndpoint | MysqlEndpoint | EtcdEndpoint;

/** Schemes that the reference knows and this version does not serve. */
const REFUSED_SCHEMES = ['nats', 't4', 'memory', 'litestream', 'unix', 'unixs'];

const FORMS = 'use sqlite://, postgres://, mysql://, mariadb://, or http(s):// for etcd';

/** Of a SQLite endpoint, without those that are other names of the same. */
const PARAMETERS = ['_journal', 'cache', '_synchronous', '_busy_timeout', '_txlock'];

const DEFAULT_BUSY_TIMEOUT_MS = 30_000;

export interface EndpointOptions {
  /** What relative paths are relative to; the working directory unless told. */
  readonly directory?: string;
  /** `multi://` may stand in front: it does for the default database, and only there. */
  readonly allowMulti?: boolean;
}

/** Reads a data source name such as `sqlite://./db/state.db?_journal=WAL&synchronous=NORMAL`. Throws `EndpointError`. */
export function parseEndpoint(text: string, options: EndpointOptions = {}): Endpoint {
  const shown = redactEndpoint(text);
  let rest = text;
  if (rest.startsWith('multi://')) {
    if (options.allowMulti !== true) {
      throw new EndpointError([`endpoint "${shown}": multi:// belongs to the default database (--endpoint) only; leave it out`]);
    }
    rest = rest.slice('multi://'.length);
  }
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(rest);
  if (match === null) {
    throw new EndpointError([`endpoint "${shown}" has no scheme; ${FORMS}`]);
  }
  const scheme = (match[1] ?? '').toLowerCase();
  const target = match[2] ?? '';
  switch (scheme) {
    case 'sqlite':
      return parseSqlite(target, shown, options.directory ?? process.cwd());
    case 'postgres':
    case 'postgresql':
      return parsePostgres(rest, shown);
    case 'mysql':
    case 'mariadb':
      return parseMysql(rest, shown);
    case 'http':
    case 'https':
      return parseEtcd(rest, shown);
    default:
  }
  if (REFUSED_SCHEMES.includes(scheme)) {
    throw new EndpointError([`endpoint "${shown}": scheme "${scheme}" is recognised but not supported; ${FORMS}`]);
  }
  const guess = didYouMean(scheme, ['sqlite', 'postgres', 'postgresql', 'mysql', 'mariadb', 'http', 'https', 'multi', ...REFUSED_SCHEMES]);
  throw new EndpointError([`endpoint "${shown}": unknown scheme "${scheme}"${guess}; ${FORMS}`]);
}

function parseSqlite(target: string, shown: string, directory: string): SqliteEndpoint {
  const reasons: string[] = [];
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  if (path === '') {
    reasons.push(`endpoint "${shown}" names no file; write sqlite://PATH`);
  } else if (path.includes(':memory:') || path.startsWith('file:')) {
    reasons.push(`endpoint "${shown}": "${path}" is not a file's path; every database is a file`);
  } else if (path.includes('\0') || path.endsWith('/')) {
    reasons.push(`endpoint "${shown}": "${path.replaceAll('\0', '\\0')}" is not a file's path`);
  }
  let synchronous: 'full' | 'normal' = 'full';
  let busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS;
  for (const [name, value] of new URLSearchParams(question < 0 ? '' : target.slice(question + 1))) {
    const refuse = (allowed: string): void => {
      reasons.push(`endpoint "${shown}": parameter ${name}=${value} is not supported; ${allowed}`);
    };
    switch (name) {
      case '_journal':
      case '_journal_mode':
        if (value.toUpperCase() !== 'WAL') {
          refuse('the journal is always WAL');
        }
        break;
      case 'cache':
        // Connections live in threads of their own and never share a page cache: either value means the same here.
        if (value !== 'shared' && value !== 'private') {
          refuse('use shared or private');
        }
        break;
      case '_txlock':
        if (value !== 'immediate') {
          refuse('writes always begin immediate');
        }
        break;
      case '_sync':
      case '_synchronous':
      case 'synchronous':
        if (['NORMAL', '1'].includes(value.toUpperCase())) {
          synchronous = 'normal';
        } else if (['FULL', '2'].includes(value.toUpperCase())) {
          synchronous = 'full';
        } else {
          refuse('use FULL (an acknowledged write survives a power cut) or NORMAL (the last ones may be lost)');
        }
        break;
      case '_busy_timeout':
      case '_timeout':
        if (/^\d{1,9}$/.test(value)) {
          busyTimeoutMs = Number(value);
        } else {
          const duration = parseGoDuration(value);
          if (duration === undefined || duration < 0) {
            refuse('use milliseconds');
          } else {
            busyTimeoutMs = duration;
          }
        }
        break;
      default:
        reasons.push(`endpoint "${shown}": unknown parameter "${name}"${didYouMean(name, PARAMETERS)}; there are ${PARAMETERS.join(', ')}`);
    }
  }
  if (reasons.length > 0) {
    throw new EndpointError(reasons);
  }
  return { scheme: 'sqlite', path: resolve(directory, path), synchronous, busyTimeoutMs };
}

/** Equal for two endpoints exactly when they are the same database; of a file, its path with links resolved as far as it exists. */
export function endpointIdentity(endpoint: Endpoint): string {
  switch (endpoint.scheme) {
    case 'sqlite':
      return `sqlite://${realPath(endpoint.path)}`;
    case 'postgres':
      return postgresIdentity(endpoint);
    case 'mysql':
      return mysqlIdentity(endpoint);
    case 'http':
    case 'https':
      return etcdIdentity(endpoint);
  }
}

/** Where the database is, for people and without credentials. */
export function endpointLocation(endpoint: Endpoint): string {
  switch (endpoint.scheme) {
    case 'sqlite':
      return endpoint.path;
    case 'postgres':
      return postgresLocation(endpoint);
    case 'mysql':
      return mysqlLocation(endpoint);
    case 'http':
    case 'https':
      return etcdLocation(endpoint);
  }
}

function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realPath(parent), basename(path));
  }
}

/**
 * An endpoint as it may be shown, whatever is wrong with it: without passwords in the user part (`user:password@`) and without
 * the values of parameters whose name speaks of a secret.
 */
export function redactEndpoint(text: string): string {
  const schemes = /^(?:[a-z][a-z0-9+.-]*:\/\/)*/i.exec(text)?.[0] ?? '';
  let rest = text.slice(schemes.length);
  // The last @: a password may hold one. What is lost of a parameter that holds one is no harm.
  const at = rest.lastIndexOf('@');
  const colon = rest.indexOf(':');
  if (colon >= 0 && colon < at) {
    rest = `${rest.slice(0, colon)}:***${rest.slice(at)}`;
  }
  return schemes + rest.replace(/([?&;][^=&;]*(?:pass|pwd|secret|token|key|credential)[^=&;]*=)[^&;]*/gi, '$1***');
}

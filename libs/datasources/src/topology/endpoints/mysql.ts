import { realpathSync } from 'node:fs';
import { didYouMean, parseGoDuration } from '@harikube/platform';
import { EndpointError } from '../endpoint-error.js';

/** A database of a MySQL or MariaDB server and how it is reached. */
export interface MysqlEndpoint {
  readonly scheme: 'mysql';
  readonly user: string;
  /** Empty: none. */
  readonly password: string;
  readonly address: MysqlAddress;
  readonly database: string;
  /** `verify`: the server's certificate has to be good and its own. `skip-verify`: any certificate will do. */
  readonly tls: 'off' | 'verify' | 'skip-verify';
  /** How long a connection may take to be made; null: the usual time. */
  readonly connectTimeoutMs: number | null;
  /** How long an answer may take; null: the usual time. */
  readonly readTimeoutMs: number | null;
  /** A server that wants the password itself, as those with LDAP do, gets it. */
  readonly allowsCleartextPasswords: boolean;
}

export type MysqlAddress = { readonly host: string; readonly port: number } | { readonly socketPath: string };

const DEFAULT_PORT = 3306;
const MAX_NAME_LENGTH = 64;

/** `user:password@tcp(host:port)/database?parameters`: nothing in front of the parameters is escaped. */
const GO_FORM = /^(?:(?<login>.*)@)?(?<protocol>[A-Za-z0-9_+-]*)\((?<address>[^()]*)\)\/(?<database>[^?/]*)(?:\?(?<parameters>.*))?$/s;
/** The same without an address: the server of this machine. */
const GO_FORM_WITHOUT_ADDRESS = /^(?:(?<login>.*)@)?\/(?<database>[^?/]*)(?:\?(?<parameters>.*))?$/s;
/** `user:password@host:port/database?parameters`, percent-escaped like any URL. */
const URL_FORM = /^(?:(?<login>[^/?]*)@)?(?<address>[^@/?]+)(?:\/(?<database>[^?/]*))?(?:\?(?<parameters>.*))?$/s;

const FORMS = 'write mysql://USER:PASSWORD@tcp(HOST:PORT)/DATABASE, or mysql://USER:PASSWORD@HOST:PORT/DATABASE with % escapes';

/** Parameters of go-sql-driver that decide how Go programs use a connection and make no difference here. */
const WITHOUT_EFFECT = new Set([
  'allowNativePasswords',
  'charset',
  'checkConnLiveness',
  'clientFoundRows',
  'collation',
  'columnsWithAlias',
  'connectionAttributes',
  'interpolateParams',
  'loc',
  'maxAllowedPacket',
  'multiStatements',
  'parseTime',
  'rejectReadOnly',
  'timeTruncate',
  'writeTimeout',
]);
const WITH_EFFECT = [
  'tls',
  'timeout',
  'readTimeout',
  'allowCleartextPasswords',
  'allowOldPasswords',
  'allowFallbackToPlaintext',
  'compress',
];
/** Settings of the server that the router decides, by the names of both products. */
const OWN_SETTINGS = new Set(['transaction_isolation', 'tx_isolation', 'sql_mode', 'autocommit', 'time_zone', 'innodb_lock_wait_timeout']);

/** Reads a data source name with the scheme `mysql` or `mariadb`; `shown` is the one that may be shown. Throws `EndpointError`. */
export function parseMysql(text: string, shown: string): MysqlEndpoint {
  const target = text.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\//, '');
  const go = GO_FORM.exec(target) ?? GO_FORM_WITHOUT_ADDRESS.exec(target);
  const parts = (go ?? URL_FORM.exec(target))?.groups;
  // Without an @ that ends the login, what looks like an address or a parameter may be part of a password: nothing of it is shown.
  if (parts === undefined || (go === null && parts['login'] === undefined)) {
    throw new EndpointError([`endpoint "${shown}" names no user or cannot be read; ${FORMS}`]);
  }
  const reasons: string[] = [];
  const refuse = (reason: string): void => void reasons.push(`endpoint "${shown}"${reason}`);
  const unescape = (part: string, what: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      refuse(`: the ${what} has a % that starts no escape; write %25 for it`);
      return '';
    }
  };
  const { login = '', protocol = '', address = '', database: writtenDatabase = '' } = parts;
  const colon = login.indexOf(':');
  const [writtenUser, writtenPassword] = colon < 0 ? [login, ''] : [login.slice(0, colon), login.slice(colon + 1)];
  const user = go === null ? unescape(writtenUser, 'user') : writtenUser;
  const password = go === null ? unescape(writtenPassword, 'password') : writtenPassword;
  const database = unescape(writtenDatabase, 'database');
  if (user === '') refuse(` names no user; ${FORMS}`);
  if (database === '') refuse(` names no database; ${FORMS}`);
  else if (database.length > MAX_NAME_LENGTH || /[\0/\\.]|\s$/.test(database)) {
    refuse(`: "${database.replaceAll('\0', '\\0')}" is not a database's name: at most ${MAX_NAME_LENGTH} characters without / \\ and .`);
  }
  return finish(
    {
      scheme: 'mysql',
      user,
      password,
      database,
      address: readAddress(protocol, address, refuse),
      ...readParameters(parts['parameters'] ?? '', refuse),
    },
    reasons,
  );
}

function finish(endpoint: MysqlEndpoint, reasons: readonly string[]): MysqlEndpoint {
  if (reasons.length > 0) throw new EndpointError(reasons);
  return endpoint;
}

/** `protocol` is empty in a URL. */
function readAddress(protocol: string, address: string, refuse: (reason: string) => void): MysqlAddress {
  if (protocol === 'unix') {
    if (!address.startsWith('/')) refuse(`: unix(${address}) is not the absolute path of a socket`);
    return { socketPath: address };
  }
  if (protocol !== '' && protocol !== 'tcp')
    refuse(`: unknown protocol "${protocol}"${didYouMean(protocol, ['tcp', 'unix'])}; use tcp or unix`);
  // An IPv6 address stands in brackets where a port may follow it.
  const parts = /^(?:\[([^[\]]+)\]|([^:[\]]*))(?::(\d+))?$/.exec(address);
  if (parts === null) {
    refuse(`: "${address}" is not HOST:PORT; an IPv6 address stands in brackets`);
    return { host: '', port: DEFAULT_PORT };
  }
  const [, bracketed, plain, writtenPort] = parts;
  const port = writtenPort === undefined ? DEFAULT_PORT : Number(writtenPort);
  if (port < 1 || port > 65_535) refuse(`: port ${port} is not between 1 and 65535`);
  const host = bracketed ?? plain ?? '';
  return { host: host === '' ? '127.0.0.1' : host.toLowerCase(), port };
}

type Options = Pick<MysqlEndpoint, 'tls' | 'connectTimeoutMs' | 'readTimeoutMs' | 'allowsCleartextPasswords'>;

function readParameters(text: string, refuse: (reason: string) => void): Options {
  let tls: MysqlEndpoint['tls'] = 'off';
  let connectTimeoutMs: number | null = null;
  let readTimeoutMs: number | null = null;
  let allowsCleartextPasswords = false;
  const duration = (name: string, value: string): number | null => {
    const parsed = parseGoDuration(value);
    if (parsed === undefined || parsed < 0) refuse(`: parameter ${name}=${value} is not a duration; write one such as 5s`);
    // 0 is no limit in Go: the usual one holds.
    return parsed === undefined || parsed <= 0 ? null : parsed;
  };
  for (const [name, value] of new URLSearchParams(text)) {
    const isOn = ['1', 'true', 't'].includes(value.toLowerCase());
    switch (name) {
      case 'tls':
        if (isOn) tls = 'verify';
        else if (value === 'skip-verify') tls = 'skip-verify';
        else if (value !== 'false' && value !== '0') {
          const reason = value === 'preferred' ? 'whoever stands between could ask for plain text; ' : '';
          refuse(`: parameter tls=${value} is not supported; ${reason}use true, skip-verify or false, and tls in the rule for files`);
        }
        break;
      case 'timeout':
        connectTimeoutMs = duration(name, value);
        break;
      case 'readTimeout':
        readTimeoutMs = duration(name, value);
        break;
      case 'allowCleartextPasswords':
        allowsCleartextPasswords = isOn;
        break;
      case 'allowOldPasswords':
      case 'allowFallbackToPlaintext':
      case 'compress':
        if (isOn) refuse(`: parameter ${name}=${value} is not supported; leave it out`);
        break;
      default:
        if (WITHOUT_EFFECT.has(name)) break;
        if (OWN_SETTINGS.has(name.toLowerCase())) refuse(`: parameter "${name}" is set by the router itself; leave it out`);
        else {
          const known = [...WITH_EFFECT, ...WITHOUT_EFFECT];
          refuse(`: unknown parameter "${name}"${didYouMean(name, known)}; there are ${known.join(', ')}`);
        }
    }
  }
  return { tls, connectTimeoutMs, readTimeoutMs, allowsCleartextPasswords };
}

/** Equal for two endpoints exactly when they are the same database. */
export function mysqlIdentity({ address, database }: MysqlEndpoint): string {
  const place = 'socketPath' in address ? `unix(${realPath(address.socketPath)})` : `tcp(${hostAndPort(address)})`;
  return `mysql://${place}/${database}`;
}

/** Where the database is, for people: without credentials and options. */
export function mysqlLocation({ address, database }: MysqlEndpoint): string {
  return 'socketPath' in address ? `mysql://unix(${address.socketPath})/${database}` : `mysql://${hostAndPort(address)}/${database}`;
}

function hostAndPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return path;
  }
}

import { EndpointError } from '../endpoint-error.js';
import { EndpointReader, splitOnce } from './endpoint-reader.js';

/** As libpq defines them, those that need no second attempt without TLS; and pg's `no-verify`, another name of `require`. */
export type PostgresSslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

export interface PostgresTlsFiles {
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
}

/** A PostgreSQL database and how it is reached. */
export interface PostgresEndpoint extends PostgresTlsFiles {
  readonly scheme: 'postgres';
  /** A name, an address, or the folder of a socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Where the tables are. */
  readonly schema: string;
  readonly user: string;
  /** Null: the server asks for none, or pg finds it in the environment. */
  readonly password: string | null;
  /** Null: the endpoint does not say. */
  readonly sslMode: PostgresSslMode | null;
  readonly sslNegotiation: 'postgres' | 'direct';
  readonly applicationName: string;
  /** Settings of the session: `-c name=value`, as libpq's `options`. */
  readonly options: string | null;
  /** Null: as long as a request may take. */
  readonly connectTimeoutMs: number | null;
  /** Milliseconds of silence after which TCP asks whether the server is there; null: never. */
  readonly keepAliveMs: number | null;
}

const PARAMETERS = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
  'application_name',
  'options',
  'search_path',
  'currentSchema',
  'connect_timeout',
  'keepalives',
  'keepalives_idle',
  'client_encoding',
  'host',
  'port',
  'user',
  'password',
  'dbname',
];

const SSL_MODES: Readonly<Record<string, PostgresSslMode>> = {
  disable: 'disable',
  require: 'require',
  'no-verify': 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const DEFAULT_PORT = 5432;
const DEFAULT_SCHEMA = 'public';
const DEFAULT_KEEP_ALIVE_MS = 10_000;
const EXAMPLE = 'write postgres://USER:PASSWORD@HOST:PORT/DATABASE';

/** A URI as libpq takes it. Throws `EndpointError`; `shown` stands for the text in its reasons. */
export function parsePostgres(text: string, shown: string): PostgresEndpoint {
  const reader = new PostgresReader(shown);
  const endpoint = reader.read(text.replace(/^[a-z]+:\/\//i, ''));
  if (reader.reasons.length > 0) throw new EndpointError(reader.reasons);
  return endpoint;
}

/** Equal for two endpoints exactly when they are the same database: the tables of another schema are another one. */
export function postgresIdentity(endpoint: PostgresEndpoint): string {
  const { host } = endpoint;
  return postgresLocation({ ...endpoint, host: host.startsWith('/') ? host : host.toLowerCase() });
}

/** Where it is, without credentials. */
export function postgresLocation({ host, port, database, schema }: PostgresEndpoint): string {
  const shownHost = host.startsWith('/') ? encodeURIComponent(host) : host.includes(':') ? `[${host}]` : host;
  const suffix = schema === DEFAULT_SCHEMA ? '' : `?search_path=${encodeURIComponent(schema)}`;
  return `postgres://${shownHost}:${port}/${encodeURIComponent(database)}${suffix}`;
}

class PostgresReader extends EndpointReader {
  constructor(shown: string) {
    super(shown, DEFAULT_PORT);
  }

  read(target: string): PostgresEndpoint {
    const question = target.indexOf('?');
    const before = question < 0 ? target : target.slice(0, question);
    const parameters = this.#parameters(question < 0 ? '' : target.slice(question + 1));
    // The last @, so that a password may hold one.
    const at = before.lastIndexOf('@');
    const [user = '', password] = at < 0 ? [] : splitOnce(before.slice(0, at), ':');
    const [address, path = ''] = splitOnce(before.slice(at + 1), '/');
    const { host, port } = this.#address(address);
    const named = (name: string, fromUri: string | undefined): string => parameters.get(name) ?? this.decoded(fromUri ?? '');
    const endpoint: PostgresEndpoint = {
      scheme: 'postgres',
      host: parameters.get('host') ?? (host === '' ? 'localhost' : host),
      port: this.port(parameters.get('port') ?? port),
      database: named('dbname', path),
      schema: this.#schema(parameters),
      user: named('user', user),
      password: parameters.get('password') ?? (password === undefined ? null : this.decoded(password)),
      sslMode: this.#sslMode(parameters.get('sslmode')),
      caFile: parameters.get('sslrootcert') ?? null,
      certFile: parameters.get('sslcert') ?? null,
      keyFile: parameters.get('sslkey') ?? null,
      sslNegotiation: this.#oneOf(parameters, 'sslnegotiation', ['postgres', 'direct']),
      applicationName: parameters.get('application_name') ?? 'harikube',
      options: this.#options(parameters.get('options')),
      connectTimeoutMs: this.#seconds(parameters, 'connect_timeout'),
      keepAliveMs: this.#oneOf(parameters, 'keepalives', ['1', '0']) === '0' ? null : this.#keepAlive(parameters),
    };
    this.#checkTogether(endpoint);
    return endpoint;
  }

  #checkTogether({ host, database, user, sslMode, sslNegotiation, caFile, certFile, keyFile }: PostgresEndpoint): void {
    if (host.includes(',')) {
      this.refuse(
        `several hosts ("${host}") are not supported; name one address that always leads to the primary, such as that of a proxy`,
      );
    }
    if (database === '') this.refuse(`names no database; ${EXAMPLE}`);
    if (user === '') this.refuse(`names no user; ${EXAMPLE}`);
    if ((certFile === null) !== (keyFile === null)) this.refuse('sslcert and sslkey belong together; name both or neither');
    if ((sslMode === null || sslMode === 'disable') && (caFile ?? certFile ?? keyFile) !== null) {
      this.refuse('sslrootcert, sslcert and sslkey have no effect without TLS; add sslmode=verify-full');
    }
    if (sslMode === 'verify-ca' && caFile === null) {
      this.refuse('sslmode=verify-ca needs sslrootcert; any public authority could vouch for any server otherwise');
    }
    if (sslNegotiation === 'direct' && (sslMode === null || sslMode === 'disable')) {
      this.refuse('sslnegotiation=direct needs TLS; add sslmode=verify-full');
    }
  }

  #parameters(query: string): Map<string, string> {
    const parameters = this.parameters(query, PARAMETERS);
    const encoding = parameters.get('client_encoding') ?? 'UTF8';
    if (!/^utf-?8$/i.test(encoding)) this.refuse(`parameter client_encoding=${encoding} is not supported; use UTF8`);
    return parameters;
  }

  #address(address: string): { readonly host: string; readonly port: string } {
    const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(address);
    if (bracketed !== null) return { host: bracketed[1] ?? '', port: bracketed[2] ?? '' };
    // Hosts that stand one behind the other are refused as a whole.
    if (address.includes(',')) return { host: address, port: '' };
    const [host, port = ''] = splitOnce(address, ':');
    return { host: this.decoded(host), port };
  }

  #schema(parameters: Map<string, string>): string {
    const searchPath = parameters.get('search_path');
    const currentSchema = parameters.get('currentSchema');
    if (searchPath !== undefined && currentSchema !== undefined) this.refuse('search_path and currentSchema mean the same; leave one out');
    const schema = searchPath ?? currentSchema ?? DEFAULT_SCHEMA;
    if (/[,"$\0]/.test(schema)) this.refuse(`"${schema}" is not the name of one schema, where the tables are`);
    return schema;
  }

  #sslMode(text: string | undefined): PostgresSslMode | null {
    if (text === undefined) return null;
    const mode = SSL_MODES[text];
    if (mode !== undefined) return mode;
    this.refuse(`parameter sslmode=${text} is not supported; use disable, require, verify-ca or verify-full`);
    return null;
  }

  #options(text: string | undefined): string | null {
    if (text === undefined) return null;
    if (/search_path/i.test(text)) this.refuse('options sets search_path; use the parameter search_path, which names one schema');
    return text;
  }

  #keepAlive(parameters: Map<string, string>): number {
    return this.#seconds(parameters, 'keepalives_idle') ?? DEFAULT_KEEP_ALIVE_MS;
  }

  #seconds(parameters: Map<string, string>, name: string): number | null {
    const text = parameters.get(name);
    if (text === undefined) return null;
    if (!/^[1-9]\d{0,4}$/.test(text)) this.refuse(`parameter ${name}=${text} is not supported; use seconds from 1 on`);
    return Number(text) * 1000;
  }

  #oneOf<T extends string>(parameters: Map<string, string>, name: string, values: readonly [T, ...T[]]): T {
    const text = parameters.get(name);
    const value = values.find((candidate) => candidate === text);
    if (text !== undefined && value === undefined) this.refuse(`parameter ${name}=${text} is not supported; use ${values.join(' or ')}`);
    return value ?? values[0];
  }
}

import { describe, expect, it } from '@jest/globals';
import { EndpointError } from '../endpoint-error.js';
import { parsePostgres, postgresIdentity, postgresLocation, type PostgresEndpoint } from './postgres.js';

const SHOWN = 'postgres://shown';

function parse(text: string): PostgresEndpoint {
  return parsePostgres(text, SHOWN);
}

function reasons(text: string): readonly string[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof EndpointError) return error.reasons;
    throw error;
  }
  return [];
}

describe('parsePostgres', () => {
  it('reads a URI with all its parts', () => {
    const uri =
      'postgresql://me:p%40ss%2Fword@DB.example.com:6543/state?sslmode=verify-full&sslrootcert=/ca.crt&application_name=x&search_path=kube';
    expect(parse(uri)).toMatchObject({
      host: 'DB.example.com',
      port: 6543,
      database: 'state',
      schema: 'kube',
      user: 'me',
      password: 'p@ss/word',
      sslMode: 'verify-full',
      caFile: '/ca.crt',
      applicationName: 'x',
    });
  });

  it('fills in what is left out', () => {
    expect(parse('postgres://me@/state')).toMatchObject({
      host: 'localhost',
      port: 5432,
      schema: 'public',
      password: null,
      sslMode: null,
      sslNegotiation: 'postgres',
      options: null,
      connectTimeoutMs: null,
      keepAliveMs: 10_000,
    });
  });

  it('takes a password with an @ and a socket as the host', () => {
    expect(parse('postgres://me:a@b/c@h/d').password).toBe('a@b/c');
    expect(parse('postgres://me@%2Frun%2Fpostgresql/d').host).toBe('/run/postgresql');
    expect(parse('postgres://me@/d?host=/run/postgresql').host).toBe('/run/postgresql');
    expect(parse('postgres://me@[::1]:7/d')).toMatchObject({ host: '::1', port: 7 });
  });

  it('tells everything that is wrong at once', () => {
    expect(reasons('postgres://h:0?ssl_mode=require&keepalives=2')).toEqual([
      expect.stringMatching(/^endpoint "postgres:\/\/shown": unknown parameter "ssl_mode" \(did you mean "sslmode"\?\)/),
      expect.stringContaining('"0" is not a port'),
      expect.stringContaining('parameter keepalives=2 is not supported; use 1 or 0'),
      expect.stringContaining('names no database'),
      expect.stringContaining('names no user'),
    ]);
  });

  it.each([
    ['postgres://me@a,b/d', 'several hosts'],
    ['postgres://me@a:1,b:2/d', 'several hosts'],
    ['postgres://me@a/d?host=a,b', 'several hosts'],
    ['postgres://me@a/d?sslmode=prefer', 'sslmode=prefer is not supported'],
    ['postgres://me@a/d?sslmode=verify-ca', 'needs sslrootcert'],
    ['postgres://me@a/d?sslrootcert=/ca', 'have no effect without TLS'],
    ['postgres://me@a/d?sslmode=require&sslcert=/c', 'belong together'],
    ['postgres://me@a/d?sslnegotiation=direct', 'needs TLS'],
    ['postgres://me@a/d?search_path=a,b', 'not the name of one schema'],
    ['postgres://me@a/d?options=-c%20search_path%3Dx', 'use the parameter search_path'],
    ['postgres://me@a/d?client_encoding=LATIN1', 'use UTF8'],
    ['postgres://me@a/d?connect_timeout=0', 'use seconds from 1 on'],
    ['postgres://me@a/d?port=1&port=2', 'stands there twice'],
    ['postgres://me@a/d?application_name=', 'is empty'],
    ['postgres://me:%zz@a/d', 'write %25'],
  ])('refuses %s', (text, reason) => {
    expect(reasons(text)).toEqual([expect.stringContaining(reason)]);
  });
});

describe('the identity of a PostgreSQL endpoint', () => {
  it('is that of the tables, however they are reached', () => {
    const identity = postgresIdentity(parse('postgres://me:pw@DB/state?application_name=a'));
    expect(identity).toBe('postgres://db:5432/state');
    expect(postgresIdentity(parse('postgresql://other@db:5432/state?search_path=public&sslmode=require'))).toBe(identity);
  });

  it('differs by port, database and schema', () => {
    const all = ['me@db/a', 'me@db:1/a', 'me@db/A', 'me@db/b', 'me@db/a?search_path=s'].map((rest) =>
      postgresIdentity(parse(`postgres://${rest}`)),
    );
    expect(new Set(all).size).toBe(5);
  });
});

describe('the location of a PostgreSQL endpoint', () => {
  it('holds no credentials', () => {
    expect(postgresLocation(parse('postgres://me:pw@[::1]/my%2Fdb?search_path=s'))).toBe('postgres://[::1]:5432/my%2Fdb?search_path=s');
  });
});

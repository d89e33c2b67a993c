import { describe, expect, it } from '@jest/globals';
import { EndpointError } from '../endpoint-error.js';
import { type MysqlEndpoint, mysqlIdentity, mysqlLocation, parseMysql } from './mysql.js';

const parse = (text: string): MysqlEndpoint => parseMysql(text, 'SHOWN');

function reasonsOf(text: string): readonly string[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof EndpointError) return error.reasons;
    throw error;
  }
  return [];
}

describe('parseMysql', () => {
  const plain = { tls: 'off', connectTimeoutMs: null, readTimeoutMs: null, allowsCleartextPasswords: false };

  it('reads the form of Go', () => {
    expect(parse('mysql://user:pw@tcp(Db.Example:3307)/tenants')).toEqual({
      ...plain,
      scheme: 'mysql',
      user: 'user',
      password: 'pw',
      address: { host: 'db.example', port: 3307 },
      database: 'tenants',
    });
  });

  it('takes a password of the form of Go as it is', () => {
    const password = 'p@ss/w:rd?%41#(x)';
    expect(parse(`mysql://user:${password}@tcp(127.0.0.1:3306)/db?timeout=5s`)).toMatchObject({
      user: 'user',
      password,
      connectTimeoutMs: 5000,
    });
  });

  it('reads URLs of both products, whose user and password are escaped', () => {
    for (const scheme of ['mysql', 'mariadb', 'MySQL']) {
      expect(parse(`${scheme}://us%40er:p%2Fw%3A@host/my%20db`)).toMatchObject({
        scheme: 'mysql',
        user: 'us@er',
        password: 'p/w:',
        address: { host: 'host', port: 3306 },
        database: 'my db',
      });
    }
  });

  it('finds sockets, IPv6 addresses and the server of this machine', () => {
    const addressOf = (text: string): unknown => parse(text).address;
    expect(addressOf('mysql://u@unix(/run/mysqld/mysqld.sock)/db')).toEqual({ socketPath: '/run/mysqld/mysqld.sock' });
    expect(addressOf('mysql://u@tcp([::1]:3307)/db')).toEqual({ host: '::1', port: 3307 });
    expect(addressOf('mysql://u@[::1]/db')).toEqual({ host: '::1', port: 3306 });
    expect(addressOf('mysql://u@tcp(host)/db')).toEqual({ host: 'host', port: 3306 });
    expect(addressOf('mysql://u@/db')).toEqual({ host: '127.0.0.1', port: 3306 });
  });

  it('reads what parameters mean here and passes over what only Go programs see', () => {
    expect(
      parse(
        'mysql://u:p@tcp(h:1)/db?tls=skip-verify&timeout=1m&readTimeout=1.5s&parseTime=true&charset=utf8mb4,utf8&loc=Local&allowCleartextPasswords=1',
      ),
    ).toMatchObject({ tls: 'skip-verify', connectTimeoutMs: 60_000, readTimeoutMs: 1500, allowsCleartextPasswords: true });
    expect(parse('mysql://u:p@h/db?tls=true').tls).toBe('verify');
    expect(parse('mysql://u:p@h/db?timeout=0s').connectTimeoutMs).toBeNull();
  });

  it('refuses everything that is wrong at once, by name', () => {
    expect(reasonsOf('mysql://:secret@tcp4(h:70000)/?tsl=true&tls=preferred&timeout=5&sql_mode=ANSI&compress=true')).toEqual([
      expect.stringMatching(/^endpoint "SHOWN" names no user; write mysql:\/\//),
      expect.stringMatching(/^endpoint "SHOWN" names no database; /),
      'endpoint "SHOWN": unknown protocol "tcp4" (did you mean "tcp"?); use tcp or unix',
      'endpoint "SHOWN": port 70000 is not between 1 and 65535',
      expect.stringMatching(/^endpoint "SHOWN": unknown parameter "tsl" \(did you mean "tls"\?\); there are tls, timeout, /),
      expect.stringMatching(/tls=preferred is not supported; .*use true, skip-verify or false/),
      'endpoint "SHOWN": parameter timeout=5 is not a duration; write one such as 5s',
      'endpoint "SHOWN": parameter "sql_mode" is set by the router itself; leave it out',
      'endpoint "SHOWN": parameter compress=true is not supported; leave it out',
    ]);
  });

  it('never shows a password', () => {
    for (const text of [
      'mysql://u:secret@',
      'mysql://u:secret%@h/db',
      'mysql://u:secret@a:b:c/db',
      'mysql://u:secret@unix(x)/db',
      'mysql://u:secret/@h/db',
      'mysql://u:secret',
      'mysql://u:secret/@h',
      'mysql://u:?secret@h/db',
    ]) {
      const reasons = reasonsOf(text);
      expect(reasons.length).toBeGreaterThan(0);
      expect(reasons.join()).not.toContain('secret');
    }
  });

  it('refuses names that no database can have', () => {
    expect(reasonsOf(`mysql://u@h/${'x'.repeat(65)}`)).toHaveLength(1);
    expect(reasonsOf('mysql://u@h/a%2Fb')).toHaveLength(1);
    expect(reasonsOf('mysql://u@h/a.b')).toHaveLength(1);
    expect(reasonsOf('mysql://u@h/a%00')).toEqual([expect.stringContaining('"a\\0" is not a database\'s name')]);
  });
});

describe('the identity of a MySQL endpoint', () => {
  it('is that of the database alone', () => {
    const same = ['mysql://a:b@tcp(HOST:3306)/db', 'mariadb://c@host/db?tls=true', 'mysql://host@tcp(host)/db'];
    expect(new Set(same.map((text) => mysqlIdentity(parse(text))))).toEqual(new Set(['mysql://tcp(host:3306)/db']));
    const others = ['mysql://a@host:3307/db', 'mysql://a@host/other', 'mysql://a@unix(/host)/db', 'mysql://a@[::1]/db'];
    expect(new Set([...same, ...others].map((text) => mysqlIdentity(parse(text)))).size).toBe(5);
  });

  it('is shown without credentials', () => {
    expect(mysqlLocation(parse('mysql://a:b@tcp([::1])/db?tls=true'))).toBe('mysql://[::1]:3306/db');
    expect(mysqlLocation(parse('mysql://a:b@unix(/run/s)/db'))).toBe('mysql://unix(/run/s)/db');
  });
});

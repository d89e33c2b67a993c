import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import type pg from 'pg';
import type { DatabaseSettings } from '../../database.js';
import { RefusedDatabaseError } from '../../database-errors.js';
import type { PostgresEndpoint, PostgresSslMode } from '../../topology/endpoints/postgres.js';

/** How pg is to connect. Certificates are read each time: they are replaced before they end. */
export async function clientConfig(endpoint: PostgresEndpoint, { tls, requestTimeoutMs }: DatabaseSettings): Promise<pg.ClientConfig> {
  const { host, port, user, database, password, applicationName, options, connectTimeoutMs, keepAliveMs, sslNegotiation } = endpoint;
  return {
    host,
    port,
    user,
    database,
    ...(password === null ? {} : { password }),
    application_name: applicationName,
    ...(options === null ? {} : { options }),
    connectionTimeoutMillis: connectTimeoutMs ?? requestTimeoutMs,
    keepAlive: keepAliveMs !== null,
    keepAliveInitialDelayMillis: keepAliveMs ?? 0,
    ssl: await sslOptions(endpoint, tls),
    sslnegotiation: sslNegotiation,
  };
}

async function sslOptions(endpoint: PostgresEndpoint, tls: DatabaseSettings['tls']): Promise<ConnectionOptions | false> {
  const mode = sslMode(endpoint, tls);
  if (mode === 'disable') return false;
  const [ca, cert, key] = await Promise.all(
    [tls?.caFile ?? endpoint.caFile, tls?.certFile ?? endpoint.certFile, tls?.keyFile ?? endpoint.keyFile].map((file) =>
      file === null ? undefined : readFile(file),
    ),
  );
  const files = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  // As in libpq: `require` with an authority verifies that it has signed, and no name.
  if (tls?.skipVerify === true || (mode === 'require' && ca === undefined)) return { ...files, rejectUnauthorized: false };
  return mode === 'verify-full' ? files : { ...files, checkServerIdentity: () => undefined };
}

function sslMode({ sslMode: asked }: PostgresEndpoint, tls: DatabaseSettings['tls']): PostgresSslMode {
  if (tls === null) return asked ?? 'disable';
  if (asked === 'disable') {
    throw new RefusedDatabaseError('its endpoint says sslmode=disable, its rule has TLS settings; leave one of them out');
  }
  return tls.skipVerify ? 'require' : (asked ?? 'verify-full');
}

import { RefusedDatabaseError } from '../../database-errors.js';
import type { PostgresConnection } from './postgres-connection.js';

const MIN_VERSION = 14;

/** Whom to ask. */
type Session = Pick<PostgresConnection, 'plain' | 'processId'>;

/** What a server says of itself. */
interface ServerFacts {
  /** As `version()` spells it. */
  readonly version: string;
  readonly versionNumber: number;
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  readonly encoding: string;
  readonly fsync: string;
  readonly fullPageWrites: string;
  readonly sessionId: string;
}

const FACTS = `SELECT version(), current_setting('server_version_num'), pg_is_in_recovery(), current_setting('transaction_read_only'),
  current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes'), pg_backend_pid()`;

/**
 * Makes sure that the server keeps what a backend promises, and returns what should be known of it. Throws
 * RefusedDatabaseError where somebody has to decide, another error where the server is not the right one at the moment.
 */
export async function checkServer(connection: Session, location: string): Promise<string[]> {
  const facts = await factsOf(connection);
  const name = productOf(facts.version);
  if (name === 'CockroachDB') {
    throw new RefusedDatabaseError(
      `${location} is CockroachDB, which has no advisory locks and no repeatable reads as they are needed; use PostgreSQL ${MIN_VERSION} or later`,
    );
  }
  if (facts.versionNumber < MIN_VERSION * 10_000) {
    throw new RefusedDatabaseError(`${location} is version ${facts.version}; version ${MIN_VERSION} or later is needed`);
  }
  if (facts.sessionId !== connection.processId) {
    throw new RefusedDatabaseError(
      `${location} is behind a connection pooler, which may spread one session over several; lead the endpoint to the server itself, the router has a pool of its own`,
    );
  }
  if (facts.encoding !== 'UTF8') {
    throw new RefusedDatabaseError(
      `${location} has the encoding ${facts.encoding}; make it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
  if (facts.isStandby) throw new Error('the server is a hot standby and read-only; lead the endpoint to the primary');
  if (facts.isReadOnly) throw new Error('the server is read-only (default_transaction_read_only)');
  const warnings: string[] = [];
  if (name !== 'PostgreSQL') warnings.push(`${location} is ${name}, with which nothing is tested`);
  if (facts.fsync === 'off')
    warnings.push(`${location} has fsync=off: when its machine fails, acknowledged writes are lost and the database may be, too`);
  if (facts.fullPageWrites === 'off')
    warnings.push(`${location} has full_page_writes=off: when its machine fails, the database may be damaged`);
  return warnings;
}

async function factsOf(connection: Session): Promise<ServerFacts> {
  const [row = []] = await connection.plain(FACTS);
  const [version, versionNumber, isStandby, isReadOnly, encoding, fsync, fullPageWrites, sessionId] = row.map((value) => value ?? '');
  return {
    version: version ?? '',
    versionNumber: Number(versionNumber),
    isStandby: isStandby === 't',
    isReadOnly: isReadOnly === 'on',
    encoding: encoding ?? '',
    fsync: fsync ?? '',
    fullPageWrites: fullPageWrites ?? '',
    sessionId: sessionId ?? '',
  };
}

/** Servers that speak PostgreSQL's protocol and are something else. */
function productOf(version: string): string {
  if (version.includes('CockroachDB')) return 'CockroachDB';
  if (version.includes('-YB-')) return 'YugabyteDB';
  return version.startsWith('PostgreSQL') || version.startsWith('EnterpriseDB') ? 'PostgreSQL' : (version.split(' ')[0] ?? version);
}

/*
 * What a MySQL or MariaDB server is and how it is set: read once when a database is opened, and judged by name.
 */
import { MIN_PAGE_BYTES } from './migrations.js';

export interface ServerFacts {
  /** As `version()` tells it. */
  readonly version: string;
  /** Of the settings below those that the server knows, by their names in lower case. */
  readonly settings: ReadonlyMap<string, string>;
  /** InnoDB can be used. */
  readonly hasInnodb: boolean;
}

export interface ServerVerdict {
  readonly product: 'MySQL' | 'MariaDB' | 'TiDB';
  /** The database must not be used on this server: somebody has to decide. */
  readonly refusals: readonly string[];
  /** It cannot be used at the moment. */
  readonly obstacles: readonly string[];
  /** It can be used, at a price. */
  readonly warnings: readonly string[];
  /** Bytes of the longest statement that the server takes. */
  readonly maxPacketBytes: number;
}

export const SETTINGS_TO_READ = [
  'innodb_flush_log_at_trx_commit',
  'innodb_flush_method',
  'innodb_doublewrite',
  'innodb_force_recovery',
  'innodb_page_size',
  'innodb_read_only',
  'log_bin',
  'sync_binlog',
  'binlog_format',
  'read_only',
  'super_read_only',
  'wsrep_on',
  'group_replication_single_primary_mode',
  'max_allowed_packet',
  'tidb_txn_mode',
];

/** What the records of the usual largest objects, 1.5 MB, need. */
const USUAL_PACKET_BYTES = 4 * 1024 * 1024;
/** MySQL's own, where the setting cannot be read. */
export const DEFAULT_PACKET_BYTES = 16 * 1024 * 1024;

const LEAST = { MySQL: [8, 0], MariaDB: [10, 6], TiDB: [6, 2] } as const;

export function judgeServer({ version, settings, hasInnodb }: ServerFacts): ServerVerdict {
  const product = /tidb/i.test(version) ? 'TiDB' : /mariadb/i.test(version) ? 'MariaDB' : 'MySQL';
  const refusals: string[] = [];
  const obstacles: string[] = [];
  const warnings: string[] = [];
  const isOn = (name: string): boolean => ['on', '1', 'yes'].includes((settings.get(name) ?? '').toLowerCase());
  const shown = (name: string): string => `${name}=${settings.get(name) ?? ''}`;

  const found = versionOf(version, product);
  const [major, minor] = LEAST[product];
  if (found === null) refusals.push(`the version of the server, "${version}", cannot be read`);
  else if (found[0] < major || (found[0] === major && found[1] < minor)) {
    refusals.push(`the server is ${product} ${found.join('.')}; ${product} ${major}.${minor} is the oldest that can be used`);
  }
  if (!hasInnodb) refusals.push('the server has no InnoDB, the only engine with transactions that can be used; start it with InnoDB');
  if (isOn('wsrep_on')) {
    refusals.push(
      'wsrep_on=ON: in a Galera cluster a row lock holds on one node only and a read on another one may be older than what was acknowledged; ' +
        'use a server that replicates in the ordinary way, or set wsrep_on=OFF',
    );
  }
  if (settings.get('group_replication_single_primary_mode')?.toUpperCase() === 'OFF') {
    refusals.push(
      'group_replication_single_primary_mode=OFF: with several primaries a row lock holds on one of them only; set it to ON, or stop group replication',
    );
  }
  if (isOn('log_bin') && settings.get('binlog_format')?.toUpperCase() === 'STATEMENT') {
    refusals.push(
      'binlog_format=STATEMENT while log_bin=ON: the server refuses the writes of transactions that read what is committed; set it to ROW or MIXED',
    );
  }
  const page = Number(settings.get('innodb_page_size') ?? MIN_PAGE_BYTES);
  if (page < MIN_PAGE_BYTES) {
    refusals.push(
      `${shown('innodb_page_size')}: keys need an index that fits pages of ${MIN_PAGE_BYTES} bytes or more; make the server's data anew with such pages`,
    );
  }
  if (product === 'TiDB') {
    warnings.push(`the server is TiDB ${found?.join('.') ?? version}, which speaks MySQL's protocol: it is untested as a backend`);
    if (settings.get('tidb_txn_mode') === 'optimistic') {
      refusals.push('tidb_txn_mode=optimistic: a commit must hold its row lock from its first statement on; set it to pessimistic');
    }
  }

  for (const name of ['super_read_only', 'read_only', 'innodb_read_only']) {
    // MariaDB 12 has further values, each of which keeps writes out in its own way.
    if (settings.has(name) && !['off', '0'].includes((settings.get(name) ?? '').toLowerCase())) {
      obstacles.push(`${shown(name)}: the server takes no writes; name the primary, or end its read-only mode`);
      break;
    }
  }
  if (Number(settings.get('innodb_force_recovery') ?? 0) > 0) {
    obstacles.push(`${shown('innodb_force_recovery')}: the server is being repaired; start it without`);
  }

  const flush = settings.get('innodb_flush_log_at_trx_commit');
  if (flush !== undefined && flush !== '1') {
    const who = flush === '0' ? 'a crash of the server' : 'a crash of its machine';
    warnings.push(
      `${shown('innodb_flush_log_at_trx_commit')}: ${who} loses up to a second of acknowledged writes, and the database is refused then as one that was restored from an older copy; set it to 1`,
    );
  }
  if (settings.get('innodb_flush_method')?.toLowerCase() === 'nosync') {
    warnings.push(
      "innodb_flush_method=nosync: a crash of the server's machine loses acknowledged writes and may damage the database; leave it out",
    );
  }
  if (isOn('log_bin') && settings.get('sync_binlog') !== '1') {
    warnings.push(
      `${shown('sync_binlog')} while log_bin=ON: after a crash of its machine the server takes back acknowledged writes that its binary log lacks; set it to 1`,
    );
  }
  if (['off', '0'].includes((settings.get('innodb_doublewrite') ?? '').toLowerCase())) {
    warnings.push(
      'innodb_doublewrite=OFF: a crash of the machine may leave half-written pages, unless its file system writes whole ones; set it to ON',
    );
  }
  const maxPacketBytes = Number(settings.get('max_allowed_packet') ?? DEFAULT_PACKET_BYTES);
  if (maxPacketBytes < USUAL_PACKET_BYTES) {
    warnings.push(
      `${shown('max_allowed_packet')}: objects near that size or above are refused; set it to ${USUAL_PACKET_BYTES} or more, as the usual limit of 1.5 MB needs`,
    );
  }
  return { product, refusals, obstacles, warnings, maxPacketBytes };
}

/** Of `10.11.19-MariaDB-deb12`, `5.5.5-10.6.1-MariaDB`, `8.0.36-28`, `8.0.11-TiDB-v7.5.1`. */
function versionOf(version: string, product: ServerVerdict['product']): readonly [number, number] | null {
  const pattern = product === 'TiDB' ? /tidb-v?(\d+)\.(\d+)/i : product === 'MariaDB' ? /(\d+)\.(\d+)\.\d+-mariadb/i : /^(\d+)\.(\d+)/;
  const parts = pattern.exec(version);
  return parts === null ? null : [Number(parts[1]), Number(parts[2])];
}

import { describe, expect, it } from '@jest/globals';
import { judgeServer, type ServerVerdict } from './server-settings.js';

const GOOD = {
  innodb_flush_log_at_trx_commit: '1',
  innodb_flush_method: 'fsync',
  innodb_doublewrite: 'ON',
  innodb_force_recovery: '0',
  innodb_page_size: '16384',
  innodb_read_only: 'OFF',
  log_bin: 'OFF',
  sync_binlog: '0',
  read_only: 'OFF',
  max_allowed_packet: '16777216',
};

function judge(settings: Readonly<Record<string, string>> = {}, version = '10.11.19-MariaDB-0+deb12u1', hasInnodb = true): ServerVerdict {
  return judgeServer({ version, settings: new Map(Object.entries({ ...GOOD, ...settings })), hasInnodb });
}

describe('judgeServer', () => {
  it('has nothing to say about a server as both products are delivered', () => {
    for (const [version, product] of [
      ['10.6.0-MariaDB', 'MariaDB'],
      ['5.5.5-10.11.6-MariaDB-log', 'MariaDB'],
      ['12.1.2-MariaDB', 'MariaDB'],
      ['8.0.36', 'MySQL'],
      ['9.4.0-commercial', 'MySQL'],
    ]) {
      expect(judge({}, version)).toEqual({ product, refusals: [], obstacles: [], warnings: [], maxPacketBytes: 16_777_216 });
    }
  });

  it('refuses versions that are too old and those that it cannot read', () => {
    expect(judge({}, '10.5.29-MariaDB').refusals).toEqual(['the server is MariaDB 10.5; MariaDB 10.6 is the oldest that can be used']);
    expect(judge({}, '5.7.44-log').refusals).toEqual(['the server is MySQL 5.7; MySQL 8.0 is the oldest that can be used']);
    expect(judge({}, 'x').refusals).toEqual(['the version of the server, "x", cannot be read']);
  });

  it.each([
    [{ wsrep_on: 'ON' }, /^wsrep_on=ON: in a Galera cluster/],
    [{ group_replication_single_primary_mode: 'OFF' }, /^group_replication_single_primary_mode=OFF/],
    [{ log_bin: 'ON', sync_binlog: '1', binlog_format: 'STATEMENT' }, /^binlog_format=STATEMENT while log_bin=ON/],
    [{ innodb_page_size: '4096' }, /^innodb_page_size=4096: .* 8192 bytes or more/],
  ])('refuses %j, where locks or indexes do not hold', (settings, message) => {
    expect(judge(settings).refusals).toEqual([expect.stringMatching(message)]);
  });

  it('refuses a server without InnoDB', () => {
    expect(judge({}, '8.4.0', false).refusals).toEqual([expect.stringContaining('no InnoDB')]);
  });

  it.each([
    [{ read_only: 'ON' }, /^read_only=ON: the server takes no writes/],
    [{ read_only: 'NO_LOCK_NO_ADMIN' }, /^read_only=NO_LOCK_NO_ADMIN/],
    [{ super_read_only: 'ON', read_only: 'ON' }, /^super_read_only=ON/],
    [{ innodb_read_only: '1' }, /^innodb_read_only=1/],
    [{ innodb_force_recovery: '2' }, /^innodb_force_recovery=2: the server is being repaired/],
  ])('waits while the server has %j', (settings, message) => {
    expect(judge(settings)).toMatchObject({ refusals: [], obstacles: [expect.stringMatching(message)] });
  });

  it.each([
    [{ innodb_flush_log_at_trx_commit: '0' }, /=0: a crash of the server loses up to a second of acknowledged writes/],
    [{ innodb_flush_log_at_trx_commit: '2' }, /=2: a crash of its machine loses/],
    [{ innodb_flush_method: 'nosync' }, /^innodb_flush_method=nosync/],
    [{ log_bin: 'ON', sync_binlog: '1000' }, /^sync_binlog=1000 while log_bin=ON/],
    [{ innodb_doublewrite: 'OFF' }, /^innodb_doublewrite=OFF/],
    [{ max_allowed_packet: '1048576' }, /^max_allowed_packet=1048576: objects near that size/],
  ])('warns about %j with what it costs', (settings, message) => {
    expect(judge(settings)).toMatchObject({ refusals: [], obstacles: [], warnings: [expect.stringMatching(message)] });
  });

  it('recognises TiDB, as untested, and refuses it where commits hold no locks', () => {
    const verdict = judge({ tidb_txn_mode: 'pessimistic' }, '8.0.11-TiDB-v7.5.1');
    expect(verdict).toMatchObject({ product: 'TiDB', refusals: [], warnings: [expect.stringMatching(/TiDB 7\.5, .* untested/)] });
    expect(judge({ tidb_txn_mode: 'optimistic' }, '8.0.11-TiDB-v7.5.1').refusals).toEqual([
      expect.stringMatching(/^tidb_txn_mode=optimistic/),
    ]);
    expect(judge({}, '5.7.25-TiDB-v5.4.0').refusals).toEqual([expect.stringContaining('TiDB 6.2 is the oldest')]);
  });
});

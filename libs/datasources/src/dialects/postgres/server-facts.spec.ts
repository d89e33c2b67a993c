import { describe, expect, it } from '@jest/globals';
import { checkServer } from './server-facts.js';

const VERSION = 'PostgreSQL 16.4 on x86_64-pc-linux-gnu, compiled by gcc 12.2.0, 64-bit';

interface Answers {
  readonly version?: string;
  readonly number?: string;
  readonly isStandby?: string;
  readonly isReadOnly?: string;
  readonly encoding?: string;
  readonly fsync?: string;
  readonly fullPageWrites?: string;
  readonly processId?: string;
}

function check(answers: Answers): Promise<string[]> {
  const { version = VERSION, number = '160004', isStandby = 'f', isReadOnly = 'off', encoding = 'UTF8' } = answers;
  const { fsync = 'on', fullPageWrites = 'on', processId = '7' } = answers;
  const row = [version, number, isStandby, isReadOnly, encoding, fsync, fullPageWrites, processId];
  return checkServer({ processId: '7', plain: () => Promise.resolve([row]) }, 'postgres://db/state');
}

describe('checkServer', () => {
  it('has nothing to say of a PostgreSQL that keeps its promises', async () => {
    expect(await check({})).toEqual([]);
  });

  it.each([
    [
      'version 13',
      { version: 'PostgreSQL 13.9 on arm64', number: '130009' },
      /is version PostgreSQL 13.9 on arm64; version 14 or later is needed/,
    ],
    ['CockroachDB', { version: 'CockroachDB CCL v23.2.0' }, /is CockroachDB, which has no advisory locks/],
    ['a pooler in between', { processId: '8' }, /behind a connection pooler/],
    ['another encoding', { encoding: 'SQL_ASCII' }, /has the encoding SQL_ASCII; make it with CREATE DATABASE/],
  ])('refuses %s by name', async (_, answers, message) => {
    await expect(check(answers)).rejects.toMatchObject({ name: 'RefusedDatabaseError', message: expect.stringMatching(message) });
  });

  it.each([
    ['a hot standby', { isStandby: 't', isReadOnly: 'on' }, /hot standby and read-only; lead the endpoint to the primary/],
    ['a server that is read-only', { isReadOnly: 'on' }, /the server is read-only/],
  ])('fails, for the moment, on %s', async (_, answers, message) => {
    await expect(check(answers)).rejects.toMatchObject({ name: 'Error', message: expect.stringMatching(message) });
  });

  it.each([
    ['YugabyteDB', { version: 'PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64' }, /is YugabyteDB, with which nothing is tested/],
    ['another product', { version: 'CloudThing 1.0 on PostgreSQL' }, /is CloudThing, with which nothing is tested/],
    ['fsync=off', { fsync: 'off' }, /fsync=off: .* acknowledged writes are lost/],
    ['full_page_writes=off', { fullPageWrites: 'off' }, /full_page_writes=off: .* may be damaged/],
  ])('warns of %s', async (_, answers, warning) => {
    expect(await check(answers)).toEqual([expect.stringMatching(warning)]);
  });
});

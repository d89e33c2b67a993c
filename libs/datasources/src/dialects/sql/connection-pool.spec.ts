import { describe, expect, it } from '@jest/globals';
import { ConnectionPool } from './connection-pool.js';
import type { SqlConnection } from './sql-connection.js';

interface Session {
  readonly number: number;
  isUsable: boolean;
}

class Sessions {
  readonly opened: Session[] = [];

  readonly open = (): Promise<SqlConnection> => {
    const session = { number: this.opened.length, isUsable: true, destroy: () => void (session.isUsable = false) };
    this.opened.push(session);
    return Promise.resolve(session as unknown as SqlConnection);
  };
}

const numberOf = (connection: SqlConnection): number => (connection as unknown as Session).number;

describe('a pool of sessions', () => {
  it('gives the one that was given back last', async () => {
    const sessions = new Sessions();
    const pool = new ConnectionPool(sessions.open, {}, 1000);
    const held = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    for (const connection of held) pool.release(connection);
    expect(numberOf(await pool.acquire())).toBe(2);
    pool.close();
  });

  it('takes none of those that were free when one was lost', async () => {
    const sessions = new Sessions();
    const pool = new ConnectionPool(sessions.open, {}, 1000);
    const held = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    for (const connection of held) pool.release(connection);
    const lost = await pool.acquire();
    lost.destroy();
    pool.release(lost);
    expect(numberOf(await pool.acquire())).toBe(3);
    expect(sessions.opened.map(({ isUsable }) => isUsable)).toEqual([false, false, false, true]);
    pool.close();
  });

  it('refuses whom no session comes free for in time', async () => {
    const pool = new ConnectionPool(new Sessions().open, { maxOpen: 3 }, 20);
    await pool.acquire();
    await expect(pool.acquire()).rejects.toThrow('none of 1 connections that read is free after 20 ms; connectionPool.maxOpen allows more');
    pool.close();
  });
});

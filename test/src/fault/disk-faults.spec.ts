import { describe, expect, it } from '@jest/globals';
import { DISK_FAULTS, runDiskFaults } from './disk-faults.js';

describe('a SQLite file whose disk is full, is read-only, or fails', () => {
  it('is unavailable for writes, alone, acknowledges nothing that is not there, and goes on when it is healed', async () => {
    const happened: string[] = [];
    const { verdict } = await runDiskFaults({ seed: 1, rounds: 1, onHappened: (what) => happened.push(what) });
    expect(verdict.findings).toEqual([]);
    expect([...new Set(happened.map((what) => what.replace(/: .*/, '')))].length).toBeGreaterThanOrEqual(DISK_FAULTS.length - 1);
    expect([verdict.writes > 100, verdict.events > 100]).toEqual([true, true]);
  });
});

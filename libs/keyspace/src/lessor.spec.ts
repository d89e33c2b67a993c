import { beforeEach, describe, expect, it } from '@jest/globals';
import type { LeaseRow } from './backend.js';
import { Lessor } from './lessor.js';

const BOOT = 1_700_000_000_000;

let monotonic: number;
let rows: Map<bigint, LeaseRow>;
let removed: bigint[];
let isHeld: boolean;
let errors: string[];
/** What the removal of keys does. */
let removing: (id: bigint) => Promise<void>;

beforeEach(() => {
  monotonic = 1000;
  rows = new Map();
  removed = [];
  isHeld = true;
  errors = [];
  removing = async () => undefined;
});

/** A lessor that starts `later` milliseconds after the rows were written, if there are any. */
function start(later = 0): Lessor {
  const store = {
    saveLease: async (lease: LeaseRow) => void rows.set(lease.id, lease),
    removeLease: async (id: bigint) => void rows.delete(id),
  };
  const removeKeys = async (id: bigint): Promise<void> => {
    await removing(id);
    removed.push(id);
  };
  const began = monotonic;
  return new Lessor(
    {
      store,
      removeKeys,
      now: () => BOOT + later + (monotonic - began),
      monotonicNow: () => monotonic,
      isHeld: () => isHeld,
      onError: (message) => errors.push(message),
    },
    [...rows.values()],
  );
}

async function pass(lessor: Lessor, milliseconds: number): Promise<void> {
  monotonic += milliseconds;
  lessor.expire();
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe('Lessor', () => {
  it('ends a lease when its time is up, and not before', async () => {
    const lessor = start();
    const { id } = await lessor.grant(10n, 0n);
    await pass(lessor, 9_999);
    expect([lessor.isAlive(id), removed]).toEqual([true, []]);
    await pass(lessor, 1);
    expect([lessor.isAlive(id), lessor.has(id), removed, rows.size]).toEqual([false, false, [id], 0]);
  });

  it('gives a lease that is kept alive its whole time again', async () => {
    const lessor = start();
    const { id } = await lessor.grant(10n, 0n);
    await pass(lessor, 8_000);
    expect(await lessor.keepAlive(id)).toBe(10n);
    await pass(lessor, 9_000);
    expect(lessor.isAlive(id)).toBe(true);
    await pass(lessor, 1_000);
    expect(lessor.isAlive(id)).toBe(false);
    expect(await lessor.keepAlive(id)).toBe(0n);
  });

  it('does not save a lease whose time is up but whose end has not begun', async () => {
    const lessor = start();
    const { id } = await lessor.grant(10n, 0n);
    monotonic += 10_000;
    expect(await lessor.keepAlive(id)).toBe(0n);
  });

  it('goes on after a restart with the time that is left, or the whole one for a lease that was kept alive', async () => {
    const before = start();
    const fresh = await before.grant(100n, 0n);
    const kept = await before.grant(100n, 0n);
    await before.keepAlive(kept.id);
    const after = start(60_000);
    await pass(after, 39_999);
    expect([after.isAlive(fresh.id), after.isAlive(kept.id)]).toEqual([true, true]);
    await pass(after, 1);
    expect([after.isAlive(fresh.id), after.isAlive(kept.id)]).toEqual([false, true]);
    await pass(after, 60_000);
    expect(after.isAlive(kept.id)).toBe(false);
  });

  it('ends a lease that ran out while nothing ran, and gives none more than its time when the clock was set back', async () => {
    const before = start();
    const { id } = await before.grant(100n, 0n);
    const late = start(3_600_000);
    await pass(late, 0);
    expect(removed).toEqual([id]);
    rows.set(id, { id, ttl: 100n, expiresAt: BOOT + 3_600_000, renewed: false });
    const early = start(-7_200_000);
    await pass(early, 100_000);
    expect(removed).toEqual([id, id]);
  });

  it('ends no lease while the process may not write, and gives those that are kept alive their whole time then', async () => {
    const lessor = start();
    const { id: kept } = await lessor.grant(10n, 0n);
    const { id: left } = await lessor.grant(10n, 0n);
    await lessor.keepAlive(kept);
    isHeld = false;
    await pass(lessor, 60_000);
    expect(removed).toEqual([]);
    isHeld = true;
    expect(await lessor.keepAlive(kept)).toBe(10n);
    await pass(lessor, 9_999);
    expect([lessor.isAlive(kept), removed]).toEqual([true, [left]]);
    await pass(lessor, 1);
    expect(removed).toEqual([left, kept]);
  });

  it('lets no put use a lease that is ending, and tells it as there until its keys are gone', async () => {
    const lessor = start();
    const { id } = await lessor.grant(10n, 0n);
    const keys = Promise.withResolvers<void>();
    removing = () => keys.promise;
    const revoked = lessor.revoke(id);
    expect([lessor.isAlive(id), lessor.has(id), await lessor.keepAlive(id)]).toEqual([false, true, 0n]);
    const again = lessor.revoke(id);
    keys.resolve();
    await Promise.all([revoked, again]);
    expect([removed, lessor.has(id)]).toEqual([[id], false]);
  });

  it('tries again soon what it could not remove, also after a revoke of a long lease', async () => {
    const lessor = start();
    const { id } = await lessor.grant(3600n, 0n);
    removing = () => Promise.reject(new Error('connection refused'));
    await expect(lessor.revoke(id)).rejects.toThrow('connection refused');
    expect([lessor.isAlive(id), lessor.has(id)]).toEqual([false, true]);
    await pass(lessor, 5_000);
    expect(errors.length).toBe(1);
    removing = async () => undefined;
    await pass(lessor, 4_999);
    expect(removed).toEqual([]);
    await pass(lessor, 1);
    expect([removed, rows.size]).toEqual([[id], 0]);
  });

  it('tells nobody of a lease that could not be recorded', async () => {
    const store = {
      saveLease: () => Promise.reject(new Error('disk full')),
      removeLease: async () => undefined,
    };
    const options = {
      store,
      removeKeys: async () => undefined,
      now: () => BOOT,
      monotonicNow: () => monotonic,
      isHeld: () => true,
      onError: () => undefined,
    };
    const lessor = new Lessor(options, []);
    const granting = lessor.grant(10n, 7n);
    // The id is taken while the lease is being recorded, but nobody can use it.
    await expect(lessor.grant(10n, 7n)).rejects.toMatchObject({ name: 'LeaseExistsError' });
    await expect(lessor.revoke(7n)).rejects.toMatchObject({ name: 'LeaseNotFoundError' });
    expect(lessor.isAlive(7n)).toBe(false);
    await expect(granting).rejects.toThrow('disk full');
    expect([lessor.has(7n), lessor.size]).toEqual([false, 0]);
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { runClockJumps } from './clock-jumps.js';
import { FakeClock } from './fake-clock.js';
import { COMMON } from './kind-topology.js';
import { Probe } from './probe.js';
import type { RouterProcess } from './router-process.js';
import { ThreeFiles } from './three-files.js';

const PREFIX = `${COMMON}orders/`;
const HOUR_S = 3600n;

describe('a router whose wall clock jumps by hours', () => {
  it('goes on, and its leases live as long as they were granted', async () => {
    const { verdict, findings } = await runClockJumps({ seed: 1, jumps: 2 });
    expect([findings, verdict.findings]).toEqual([[], []]);
    expect([verdict.writes > 100, verdict.events > 100]).toEqual([true, true]);
  });
});

describe('a router that starts again with another time', () => {
  let files: ThreeFiles;
  let clock: FakeClock;
  let router: RouterProcess;
  let probe: Probe;

  beforeEach(async () => {
    files = await ThreeFiles.create({ isOne: true });
    clock = await FakeClock.create(files.beside('clock'));
    router = await files.start({ env: clock.env });
    connect(1);
  });

  afterEach(async () => {
    probe.close();
    await router.kill();
    await files.remove();
  });

  function connect(seed: number): void {
    probe = new Probe({ address: () => router.address, seed, answerWithinMs: 15_000 });
  }

  async function startAgain(hours: number): Promise<void> {
    await router.kill();
    await clock.set(hours);
    router = await files.start({ env: clock.env });
    probe.close();
    connect(2);
  }

  it('gives a lease what its stored end leaves, and its whole time if it was ever kept alive', async () => {
    const [keptKey, otherKey] = [probe.key(PREFIX), probe.key(PREFIX)];
    const kept = await probe.grant(keptKey, HOUR_S);
    expect(await probe.keepAlive(kept)).toBe(HOUR_S);
    const other = await probe.grant(otherKey, HOUR_S);
    await startAgain(6);
    await probe.livesOut(otherKey, other);
    expect(await probe.keepAlive(other)).toBe(0n);
    expect(await probe.keepAlive(kept)).toBe(HOUR_S);
    expect(await probe.has(keptKey)).toBe(true);
  });

  it('gives a lease no more than its whole time when the clock was set back', async () => {
    const [shortKey, longKey] = [probe.key(PREFIX), probe.key(PREFIX)];
    const long = await probe.grant(longKey, HOUR_S);
    const short = await probe.grant(shortKey, 2n);
    await startAgain(-9);
    // Ends at all.
    expect(await probe.livesOut(shortKey, short)).toBe(true);
    expect(await probe.keepAlive(short)).toBe(0n);
    expect(await probe.keepAlive(long)).toBe(HOUR_S);
  });
});

import { describe, expect, it } from '@jest/globals';
import { runStops } from './stops.js';

describe('a router that is stopped for longer than a lease lives', () => {
  it('refuses nothing and says nothing false when it goes on, and ends the leases whose time is over', async () => {
    const { verdict, findings } = await runStops({ seed: 1, stops: 1, seconds: 3 });
    expect([findings, verdict.findings]).toEqual([[], []]);
    expect([verdict.writes > 100, verdict.events > 100]).toEqual([true, true]);
  });
});

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Gathering } from './gathering.js';

let gathering: Gathering;

beforeEach(() => {
  jest.useFakeTimers();
  gathering = new Gathering();
});

afterEach(() => {
  jest.useRealTimers();
});

/** Commits whose writers are all back so many milliseconds after they are told. */
function run(commits: number, writers: number, returnMs: number, commitMs = 10): void {
  for (let i = 0; i < commits; i++) {
    gathering.committed(commitMs);
    gathering.told(writers);
    jest.advanceTimersByTime(returnMs);
    for (let writer = 0; writer < writers; writer++) gathering.arrived();
  }
}

/** Whether the wait that has begun is over. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  return Promise.race([wait.then(() => true), Promise.resolve().then(() => false)]);
}

describe('Gathering', () => {
  it('waits for nobody before it knows how soon they are back', () => {
    expect(gathering.isWorthwhile(4, 4)).toBe(false);
    gathering.committed(10);
    expect(gathering.isWorthwhile(4, 4)).toBe(false);
  });

  it('waits for writers who are back well within a commit, until as many have come', async () => {
    run(4, 4, 2);
    expect(gathering.isWorthwhile(4, 4)).toBe(true);
    gathering.told(4);
    const wait = gathering.wait();
    for (let writer = 0; writer < 3; writer++) gathering.arrived();
    expect([await isOver(wait), gathering.isWaiting]).toEqual([false, true]);
    gathering.arrived();
    await wait;
    expect(gathering.isWaiting).toBe(false);
  });

  it.each([6.9, 7.1])('takes seven tenths of a commit for the end of what is worth a wait: back after %d of 10 ms', (returnMs) => {
    run(20, 4, returnMs);
    expect(gathering.isWorthwhile(4, 4)).toBe(returnMs < 7);
  });

  it('waits for nobody where the commit is large anyway, and not for a few', () => {
    run(4, 20, 2);
    expect([gathering.isWorthwhile(16, 16), gathering.isWorthwhile(17, 16)]).toEqual([true, false]);
    expect([gathering.isWorthwhile(1, 7), gathering.isWorthwhile(1, 6)]).toEqual([true, false]);
  });

  it('waits no longer than twice what they usually take, and then no more', async () => {
    run(8, 4, 2);
    let waits = 0;
    while (gathering.isWorthwhile(4, 4) && waits < 10) {
      waits++;
      gathering.told(4);
      const wait = gathering.wait();
      jest.advanceTimersByTime(3);
      expect(await isOver(wait)).toBe(false);
      jest.advanceTimersByTime(40);
      await wait;
      gathering.committed(10);
    }
    expect(waits).toBeLessThan(3);
  });

  it('waits for nobody when there is nobody who is told', () => {
    run(4, 4, 2);
    expect(gathering.isWorthwhile(0, 8)).toBe(false);
  });

  it('holds nobody up for more than 10 ms, however slow the database is', async () => {
    run(20, 4, 9, 2000);
    expect(gathering.isWorthwhile(4, 4)).toBe(true);
    gathering.told(4);
    const wait = gathering.wait();
    jest.advanceTimersByTime(9);
    expect(await isOver(wait)).toBe(false);
    jest.advanceTimersByTime(1);
    await wait;
    run(20, 4, 11, 2000);
    expect(gathering.isWorthwhile(4, 4)).toBe(false);
  });

  it('does not count a pause of all writers for longer than a few commits', () => {
    run(8, 4, 2);
    run(1, 4, 60_000);
    expect(gathering.isWorthwhile(4, 4)).toBe(false);
    run(6, 4, 2);
    expect(gathering.isWorthwhile(4, 4)).toBe(true);
  });

  it('lets everybody go at the end', async () => {
    run(4, 4, 2);
    gathering.told(4);
    const wait = gathering.wait();
    gathering.end();
    await wait;
    expect(jest.getTimerCount()).toBe(0);
  });
});

import { describe, expect, it } from '@jest/globals';
import { CursorTracker, lowestCursor } from './cursor-tracker.js';

describe('CursorTracker', () => {
  it('stays before the first unfinished event, in whatever order they finish', () => {
    const tracker = new CursorTracker({ position: 10n, time: 0 });
    const tickets = [12n, 15n, 20n].map((position) => {
      const ticket = tracker.open(position);
      tracker.advance(position);
      return ticket;
    });
    expect(tracker.cursor?.position).toBe(11n);
    tickets[1]?.finish();
    expect(tracker.cursor?.position).toBe(11n);
    tickets[0]?.finish();
    expect(tracker.cursor?.position).toBe(19n);
    tickets[2]?.finish();
    expect(tracker.cursor?.position).toBe(20n);
    expect(tracker.seen?.position).toBe(20n);
  });

  it('follows what needs no delivery, and never goes back', () => {
    const tracker = new CursorTracker({ position: 10n, time: 100 });
    tracker.advance(14n, 300);
    tracker.advance(12n, 900);
    expect(tracker.cursor).toEqual({ position: 14n, time: 300 });
    tracker.advance(14n, 400);
    expect(tracker.cursor).toEqual({ position: 14n, time: 400 });
  });

  it('has the time from before an event as long as the event is unfinished', () => {
    const tracker = new CursorTracker({ position: 10n, time: 100 });
    const ticket = tracker.open(11n);
    tracker.advance(11n, 5000);
    expect(tracker.cursor).toEqual({ position: 10n, time: 100 });
    ticket.finish();
    expect(tracker.cursor).toEqual({ position: 11n, time: 5000 });
  });

  it('has no cursor until everything that was there at the start is finished', () => {
    const tracker = new CursorTracker(null);
    const first = tracker.openListed();
    const second = tracker.openListed();
    tracker.advance(40n, 100);
    first.finish();
    expect(tracker.cursor).toBeNull();
    second.finish();
    expect(tracker.cursor).toEqual({ position: 40n, time: 100 });
  });

  it('stays where it is until everything that a list found is finished', () => {
    const tracker = new CursorTracker({ position: 10n, time: 100 });
    const [first, second] = [tracker.openListed(), tracker.openListed()];
    tracker.advance(40n, 5000);
    const live = tracker.open(41n);
    tracker.advance(41n);
    first.finish();
    live.finish();
    expect(tracker.cursor).toEqual({ position: 10n, time: 100 });
    second.finish();
    expect(tracker.cursor).toEqual({ position: 41n, time: 5000 });
  });

  it('goes back only where the data of the server went back', () => {
    const tracker = new CursorTracker({ position: 50n, time: 0 });
    tracker.reset({ position: 20n, time: 1 });
    expect(tracker.cursor).toEqual({ position: 20n, time: 1 });
  });
});

describe('lowestCursor', () => {
  it('is where all streams have come to', () => {
    const one = { position: 5n, time: 9 };
    const other = { position: 7n, time: 3 };
    expect(lowestCursor([one])).toEqual(one);
    expect(lowestCursor([one, other])).toEqual({ position: 5n, time: 3 });
    expect(lowestCursor([one, null])).toBeNull();
    expect(lowestCursor([])).toBeNull();
  });
});

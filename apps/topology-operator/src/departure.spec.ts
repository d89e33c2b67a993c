import { describe, expect, it } from '@jest/globals';
import type { RouterBackendReport, RouterTopologyState } from '@harikube/platform';
import { type Departure, departureOf, type DepartureView } from './departure.js';

const report = (name: string, keys: number | null, more: Partial<RouterBackendReport> = {}): RouterBackendReport => ({
  name,
  endpoint: 'sqlite://x',
  isReady: true,
  problem: '',
  keys,
  bytes: keys === null ? null : 100,
  ...more,
});

const seen = (...backends: RouterBackendReport[]): DepartureView['router'] => ({
  kind: 'seen',
  state: { version: 'v', source: null, sourceVersion: null, inForceSince: '', document: '', backends } satisfies RouterTopologyState,
});

const NOBODY: DepartureView['router'] = { kind: 'none', message: 'nobody to ask' };
const AWAY: DepartureView['router'] = { kind: 'unreachable', message: 'away' };

function departure(view: Partial<DepartureView>): Departure {
  return departureOf({
    backends: ['a', 'b'],
    isMerged: true,
    wasMerged: true,
    isConfirmed: false,
    abandoned: new Set(),
    elsewhere: new Set(),
    router: seen(report('a', 0), report('b', 0)),
    ...view,
  });
}

const abandoned = new Set(['a', 'b']);

describe('departureOf', () => {
  it('lets rules go whose databases are empty, and the object when the router has let them go', () => {
    expect(departure({})).toEqual({ do: 'leave', message: 'the rules are being removed' });
    expect(departure({ isMerged: false })).toEqual({ do: 'leave', message: 'the router has not let the rules go yet' });
    expect(departure({ isMerged: false, isConfirmed: true })).toEqual({ do: 'release' });
    expect(departure({ isMerged: false, router: seen(report('other', 5)) })).toEqual({ do: 'release' });
  });

  it('holds them while there are keys, and says how many and the way out', () => {
    expect(departure({ router: seen(report('a', 3), report('b', 1), report('c', 9)) })).toEqual({
      do: 'hold',
      message:
        '"a" holds 3 keys (100 bytes), and "b" holds 1 key (100 bytes); delete the objects first, ' +
        'or give the data up by the annotation harikube.info/abandon-data: a=3,b=1',
    });
  });

  it('holds them when it is not known whether there are keys', () => {
    expect(departure({ router: seen(report('a', null, { problem: 'no such file' }), report('b', 0)) })).toMatchObject({
      do: 'hold',
      message: expect.stringMatching(/^it is not known what "a" holds: no such file; .*abandon-data: a$/),
    });
  });

  it('takes rules back whose databases got keys while they were leaving', () => {
    expect(departure({ isMerged: false, router: seen(report('a', 1)) }).do).toBe('hold');
  });

  it('lets data go that was given up', () => {
    expect(departure({ abandoned, router: seen(report('a', 3), report('b', null)) }).do).toBe('leave');
    expect(departure({ abandoned: new Set(['a']), router: seen(report('a', 3), report('b', 1)) })).toMatchObject({
      do: 'hold',
      message: expect.stringContaining('"b" holds 1 key'),
    });
  });

  it('counts neither what only answers for the past nor what belongs to another object', () => {
    expect(departure({ isMerged: false, router: seen(report('a', 3, { retiredAt: '7' })) })).toEqual({ do: 'release' });
    expect(departure({ isMerged: false, elsewhere: new Set(['a']), router: seen(report('a', 3)) })).toEqual({ do: 'release' });
  });

  it('holds rules while the router is away, and keeps the object until it has answered', () => {
    expect(departure({ router: AWAY })).toEqual({ do: 'hold', message: 'it cannot be known what its databases hold: away' });
    expect(departure({ router: AWAY, isMerged: false }).do).toBe('leave');
    expect(departure({ router: AWAY, isMerged: false, wasMerged: false })).toEqual({ do: 'release' });
  });

  it('asks the user where there is no router to ask', () => {
    expect(departure({ router: NOBODY })).toEqual({
      do: 'hold',
      message: 'nobody to ask; when what "a" and "b" hold may be lost, say so by the annotation harikube.info/abandon-data: a,b',
    });
    expect(departure({ router: NOBODY, abandoned }).do).toBe('leave');
    expect(departure({ router: NOBODY, abandoned, isMerged: false })).toEqual({ do: 'release' });
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RouterTopologyState } from '@harikube/platform';
import { AdminDouble } from './spec/admin-double.js';
import { RecordedOutput } from './spec/recorded-output.js';
import { topologyStatus } from './topology-status.js';

const VERSION = '0123456789abcdef0123456789abcdef';
const OTHER = 'fedcba9876543210fedcba9876543210';
const USER = { name: 'user', endpoint: 'sqlite://./user.db', isReady: true, problem: '', keys: 12, bytes: 2048 };
const MAIN = { name: 'main', endpoint: 'sqlite:///db/main.db', isReady: true, problem: '', keys: 1, bytes: 10 };
const STATE: RouterTopologyState = {
  version: VERSION,
  source: 'secret://harikube/topology-config',
  sourceVersion: VERSION,
  inForceSince: '2026-01-01T00:00:00Z',
  document: 'backends: []\n',
  backends: [USER, MAIN],
};

let router: AdminDouble;
let output: RecordedOutput;

beforeEach(async () => {
  router = await AdminDouble.start();
  output = new RecordedOutput();
});

afterEach(() => router.close());

function status(state: Partial<RouterTopologyState>): Promise<number> {
  router.answer('/v1/topology', { ...STATE, ...state });
  return topologyStatus(router.flags, output);
}

describe('topologyStatus', () => {
  it('shows what is in force and what each database holds', async () => {
    expect(await status({})).toBe(0);
    expect(output.lines).toEqual([
      `topology 0123456789ab, in force since 2026-01-01T00:00:00Z in the router at ${router.url}`,
      'source: secret://harikube/topology-config',
      '  ok    user  sqlite://./user.db    12 keys, 2.0 KiB',
      '  ok    main  sqlite:///db/main.db  1 key, 10 B',
    ]);
  });

  it('shows a database that is not there, and one that answers for the past', async () => {
    const lost = { ...USER, isReady: false, problem: 'the file is gone', keys: null, bytes: null };
    const old = { ...USER, name: 'tenant', retiredAt: '77' };
    expect(await status({ backends: [lost, MAIN, old] })).toBe(1);
    expect(output.lines.slice(2)).toEqual([
      '  FAIL  user    sqlite://./user.db    keys not known',
      '                the file is gone',
      '  ok    main    sqlite:///db/main.db  1 key, 10 B',
      '  ok    tenant  sqlite://./user.db    12 keys, 2.0 KiB  answers for what was before revision 77 only',
    ]);
  });

  it('says what holds the text of the source back', async () => {
    const move = { from: 'main', to: 'user', keys: 3, bytes: 30, example: '/registry/x' };
    const error = { time: '2026-01-02T00:00:00Z', message: '3 keys would have to move', version: OTHER, moves: [move] };
    expect(await status({ sourceVersion: OTHER, error })).toBe(3);
    expect(output.lines[1]).toBe('source: secret://harikube/topology-config, which holds topology fedcba987654 (see below)');
    expect(output.lines.slice(-2)).toEqual([
      'held back since 2026-01-02T00:00:00Z, by keys that would be hidden:',
      '  main -> user  3 keys  30 B  such as /registry/x',
    ]);
  });

  it('is wrong while the text of the source cannot be used', async () => {
    const error = { time: '2026-01-02T00:00:00Z', message: 'is wrong', version: OTHER, moves: [] };
    expect(await status({ sourceVersion: OTHER, error })).toBe(1);
    expect(output.lines.at(-1)).toBe('problem since 2026-01-02T00:00:00Z: is wrong');
  });

  it('is wrong while the source has another text, or has not been read', async () => {
    expect(await status({ sourceVersion: OTHER })).toBe(1);
    expect(output.lines[1]).toContain('which holds topology fedcba987654: 0123456789ab is about to be replaced');
    output = new RecordedOutput();
    expect(await status({ sourceVersion: null })).toBe(1);
    expect(output.lines[1]).toContain('which could not be read yet: what was in force last goes on');
  });

  it('is fine without a source', async () => {
    expect(await status({ source: null, sourceVersion: null })).toBe(0);
    expect(output.lines[1]).toBe('source: none, so that every key is in the default backend');
  });

  it('gives a program what the router says', async () => {
    output = new RecordedOutput('json');
    await status({});
    expect(JSON.parse(output.text)).toEqual(STATE);
  });
});

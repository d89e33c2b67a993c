import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { abandonBackend } from './abandon-backend.js';
import { AdminDouble } from './spec/admin-double.js';
import { RecordedOutput } from './spec/recorded-output.js';

const USER = { name: 'user', endpoint: 'sqlite://./user.db', isReady: true, problem: '', keys: 12, bytes: 2048 };
const LOST = { ...USER, name: 'lost', isReady: false, problem: 'the file is gone', keys: null, bytes: null };
const MAIN = { name: 'main', endpoint: 'sqlite:///db/main.db', isReady: true, problem: '', keys: 1, bytes: 10 };

let router: AdminDouble;
let output: RecordedOutput;

beforeEach(async () => {
  router = await AdminDouble.start();
  router.answer('/v1/topology', { version: '1', document: '', backends: [USER, LOST, MAIN, { ...USER, name: 'old', retiredAt: '77' }] });
  router.answer('/v1/topology/abandon', { backend: 'user', keys: 12 });
  output = new RecordedOutput();
});

afterEach(() => router.close());

const abandon = (name: string, confirm?: string): Promise<number> => abandonBackend(name, { ...router.flags, confirm }, output);
const abandoned = (): unknown[] => router.asked.filter(({ path }) => path === '/v1/topology/abandon').map(({ body }) => body);

describe('abandonBackend', () => {
  it('says how many keys would be lost, and how to give them up, and gives up nothing', async () => {
    expect(await abandon('user')).toBe(3);
    expect(output.lines).toEqual([
      'backend "user" (sqlite://./user.db): 12 keys, 2.0 KiB; nothing is given up',
      'to give up what it holds, so that its rule may be taken out of the topology: harikube topology abandon user --confirm 12',
    ]);
    expect(abandoned()).toEqual([]);
  });

  it('gives up nothing when another number is confirmed', async () => {
    expect([await abandon('user', '11'), await abandon('user', 'unknown'), await abandon('lost', '0')]).toEqual([3, 3, 3]);
    expect(output.lines[0]).toBe('backend "user" (sqlite://./user.db): 12 keys, 2.0 KiB, and 11 was confirmed; nothing is given up');
    expect(output.lines[5]).toContain('harikube topology abandon lost --confirm unknown');
    expect(abandoned()).toEqual([]);
  });

  it('gives up what is confirmed', async () => {
    expect([await abandon('user', '12'), await abandon('lost', 'unknown')]).toEqual([0, 0]);
    expect(abandoned()).toEqual([
      { backend: 'user', confirm: 12 },
      { backend: 'lost', confirm: null },
    ]);
    expect(output.lines).toEqual([
      'backend "user" (sqlite://./user.db): 12 keys given up; served until its rule goes, and not found any more then',
      'backend "lost" (sqlite://./user.db): whatever it holds given up; served until its rule goes, and not found any more then',
    ]);
  });

  it.each(['main', 'old', 'other'])('refuses %s, which has no rule', async (name) => {
    await expect(abandon(name, '12')).rejects.toThrow(
      `the router has no rule for a backend "${name}" that could be given up; it has user, lost`,
    );
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ChangerLine } from './changer-line.js';
import { Random } from './random.js';

const PROGRAM = fileURLToPath(new URL('topology-changer-program.js', import.meta.url));
const LIVES = 12;

let folder: string;
let child: ChildProcess | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-crash-'));
});

afterEach(async () => {
  child?.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

interface Write {
  readonly key: string;
  readonly value: string | null;
  readonly revision: string;
}

/** Lets the program live until some changes are made and a little longer, and kills it. All that it told. */
async function live(seed: number, random: Random): Promise<ChangerLine[]> {
  const lines: ChangerLine[] = [];
  const changer = spawn(process.execPath, [PROGRAM, folder, `${seed}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  child = changer;
  const ended = once(changer, 'close');
  let changes = 2 + random.below(6);
  for await (const line of createInterface({ input: changer.stdout })) {
    const told = JSON.parse(line) as ChangerLine;
    lines.push(told);
    if (told.type === 'applied' && --changes === 0) setTimeout(() => changer.kill('SIGKILL'), random.below(25));
  }
  await ended;
  return lines;
}

describe('a store that is killed while its topology changes', () => {
  it('finds every acknowledged write in one history, and goes on with a topology that it had or was about to have', async () => {
    const random = new Random(31);
    const acknowledged: Write[] = [];
    let doubtful = new Map<string, string | null>();
    let wasReady = 0;
    for (let life = 0; life < LIVES; life++) {
      const lines = await live(100 + life, random);
      const events = lines.filter((line) => line.type === 'event');
      const found = new Map(events.map((event) => [`${event.revision} ${event.key}`, event.value]));
      const missing = acknowledged.filter(({ revision, key, value }) => found.get(`${revision} ${key}`) !== value);
      expect(missing).toEqual([]);
      const latest = new Map(events.map(({ key, value }) => [key, value]));
      const gets = new Map(lines.filter((line) => line.type === 'found').map(({ key, value }) => [key, value]));
      expect(gets).toEqual(latest);
      // Nothing is there twice, and what nobody was told of is what was under way at the end of a life.
      expect(found.size).toBe(events.length);
      const known = new Set(acknowledged.map(({ revision, key }) => `${revision} ${key}`));
      for (const { key, value, revision } of events.filter((event) => !known.has(`${event.revision} ${event.key}`))) {
        expect([key, doubtful.get(key)]).toEqual([key, value]);
        acknowledged.push({ key, value, revision });
      }
      doubtful = new Map();
      for (const line of lines) {
        if (line.type === 'ready') wasReady++;
        if (line.type === 'begin') doubtful.set(line.key, line.value);
        if (line.type !== 'done') continue;
        const value = doubtful.get(line.key);
        doubtful.delete(line.key);
        if (line.revision !== null && value !== undefined) acknowledged.push({ key: line.key, value, revision: line.revision });
      }
    }
    expect([wasReady, acknowledged.length > 200]).toEqual([LIVES, true]);
  }, 180_000);
});

import { describe, expect, it } from '@jest/globals';
import { type MergeConfig, type MergedEntry, mergeTopology, type Refusal } from './merge-topology.js';

const REFUSAL: Refusal = { reason: 'RouterRefused', message: 'no' };
const doc = (text: string): { text: string; files: Record<string, string> } => ({ text, files: {} });

function config(name: string, text: string, more: Partial<MergeConfig> = {}): MergeConfig {
  return {
    uid: `uid-${name}`,
    key: `ns/${name}`,
    generation: 1,
    created: '2026-01-01T00:00:00Z',
    pin: null,
    wish: 'present',
    document: doc(text),
    ...more,
  };
}

const entry = (name: string, text: string, order: number): MergedEntry => ({
  uid: `uid-${name}`,
  key: `ns/${name}`,
  generation: 1,
  order,
  document: doc(text),
});

interface Outcome {
  /** `order name text` */
  readonly entries: string[];
  readonly refused: string[];
  /** Texts that were judged, each as one. */
  readonly judged: string[];
}

async function merge(configs: MergeConfig[], before: MergedEntry[], isGood: (texts: string) => boolean = () => true): Promise<Outcome> {
  const judged: string[] = [];
  const { entries, refusals } = await mergeTopology({
    configs,
    before,
    judge: (tried) => {
      const texts = tried.map(({ document }) => document.text).join(' ');
      judged.push(texts);
      return Promise.resolve(isGood(texts) ? null : REFUSAL);
    },
  });
  return {
    entries: entries.map(({ order, key, document }) => `${order} ${key.slice(3)} ${document.text}`),
    refused: [...refusals.keys()].map((uid) => uid.slice(4)).sort(),
    judged,
  };
}

describe('mergeTopology', () => {
  it('puts documents into deploy order and judges them once', async () => {
    expect(await merge([config('b', 'B'), config('a', 'A'), config('z', 'Z', { pin: 1 })], [])).toEqual({
      entries: ['1 z Z', '2 a A', '3 b B'],
      refused: [],
      judged: ['Z A B'],
    });
  });

  it('judges nothing when nothing changes, not even numbers alone', async () => {
    expect(await merge([config('a', 'A'), config('b', 'B')], [entry('a', 'A', 1), entry('b', 'B', 5)])).toEqual({
      entries: ['1 a A', '2 b B'],
      refused: [],
      judged: [],
    });
  });

  it('takes another generation of the same document without judging it', async () => {
    const { entries } = await mergeTopology({
      configs: [config('a', 'A', { generation: 7 })],
      before: [entry('a', 'A', 1)],
      judge: () => Promise.resolve(REFUSAL),
    });
    expect(entries).toMatchObject([{ generation: 7 }]);
  });

  it('isolates one that is refused among many, and keeps what it had', async () => {
    const names = [...'abcdefghijklmnopqrstuvwxyz'];
    const configs = names.map((name) => config(name, name === 'd' ? 'BAD' : name.toUpperCase()));
    const isGood = (texts: string): boolean => !texts.includes('BAD');
    const { entries, refused, judged } = await merge(configs, [entry('d', 'D', 1)], isGood);
    expect(entries.map((text) => text.split(' ')[2])).toEqual([...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']);
    expect(refused).toEqual(['d']);
    // Halves, not one after another.
    expect(judged.length).toBeLessThan(names.length / 2);
  });

  it('leaves out one that is refused and had nothing', async () => {
    const isGood = (texts: string): boolean => !texts.includes('BAD');
    expect(await merge([config('a', 'BAD'), config('b', 'B')], [], isGood)).toMatchObject({ entries: ['1 b B'], refused: ['a'] });
  });

  it('keeps the document of one whose spec cannot be read', async () => {
    const configs = [config('a', '', { document: REFUSAL, generation: 2 }), config('b', 'B')];
    expect(await merge(configs, [entry('a', 'A', 1)])).toMatchObject({ entries: ['1 a A', '2 b B'], refused: ['a'] });
  });

  it('does together what can only be done together', async () => {
    const isGood = (texts: string): boolean => !['A A', 'B B'].includes(texts);
    const swapped = [config('a', 'B'), config('b', 'A')];
    expect(await merge(swapped, [entry('a', 'A', 1), entry('b', 'B', 2)], isGood)).toMatchObject({
      entries: ['1 a B', '2 b A'],
      refused: [],
    });
  });

  it('tries again what was in the way of something that went', async () => {
    // X and BAD are refused, and so are A and X at once.
    const isGood = (texts: string): boolean => !texts.includes('BAD') && !(texts.includes('A') && texts.includes('X'));
    const configs = [config('x', 'X'), config('bad', 'BAD'), config('a', 'A', { wish: 'gone' })];
    expect(await merge(configs, [entry('a', 'A', 1)], isGood)).toMatchObject({ entries: ['1 x X'], refused: ['bad'] });
  });

  it('lets one go only when that is not refused', async () => {
    const leaving = [config('a', 'A', { wish: 'gone' }), config('b', 'B')];
    const before = [entry('a', 'A', 1), entry('b', 'B', 2)];
    expect(await merge(leaving, before)).toMatchObject({ entries: ['1 b B'], refused: [] });
    expect(await merge(leaving, before, (texts) => texts.includes('A'))).toMatchObject({ entries: ['1 a A', '2 b B'], refused: ['a'] });
  });

  it('lets one go that was never there, without judging', async () => {
    expect(await merge([config('a', 'A', { wish: 'gone' })], [])).toEqual({ entries: [], refused: [], judged: [] });
  });

  it('keeps a document as it is where nothing else is wished', async () => {
    expect(await merge([config('a', 'NEW', { wish: 'keep' })], [entry('a', 'A', 1)])).toEqual({
      entries: ['1 a A'],
      refused: [],
      judged: [],
    });
  });

  it('lets the document of an object go that is not there any more, unless data is in it', async () => {
    const before = [entry('gone', 'G', 1), entry('b', 'B', 2)];
    expect(await merge([config('b', 'B')], before)).toMatchObject({ entries: ['1 b B'] });
    expect(await merge([config('b', 'B')], before, () => false)).toMatchObject({ entries: ['1 gone G', '2 b B'], refused: ['gone'] });
  });

  it('hands the document of an object on to the one that was made in its place', async () => {
    const anew = config('a', 'A', { uid: 'uid-anew' });
    const { entries } = await mergeTopology({ configs: [anew], before: [entry('a', 'A', 1)], judge: () => Promise.resolve(REFUSAL) });
    expect(entries).toMatchObject([{ uid: 'uid-anew', document: doc('A') }]);
  });

  it('takes another order when it is not refused', async () => {
    const before = [entry('a', 'A', 1), entry('b', 'B', 2)];
    const swapped = [config('a', 'A', { pin: 2 }), config('b', 'B', { pin: 1 })];
    expect(await merge(swapped, before)).toEqual({ entries: ['1 b B', '2 a A'], refused: [], judged: ['B A'] });
  });

  it('keeps the order that was when another is refused, and still takes in the rest', async () => {
    const before = [entry('a', 'A', 1), entry('b', 'B', 2)];
    const configs = [config('a', 'A'), config('b', 'B', { pin: 0 }), config('c', 'C')];
    expect(await merge(configs, before, (texts) => texts.startsWith('A'))).toMatchObject({
      entries: ['1 a A', '2 b B', '3 c C'],
      refused: ['b'],
    });
  });

  it('leaves one in its place whose annotation cannot be read', async () => {
    const before = [entry('a', 'A', 1), entry('b', 'B', 2)];
    const configs = [config('a', '', { pin: 'as-before', document: REFUSAL }), config('b', 'B', { pin: 2 })];
    expect(await merge(configs, before)).toMatchObject({ entries: ['1 a A', '2 b B'], refused: ['a'], judged: [] });
  });
});

import { describe, expect, it } from '@jest/globals';
import { type ImagesOptions, PowerLoss, type PowerLossOptions } from './power-loss.js';

async function findingsOf(
  options: PowerLossOptions,
  images: ImagesOptions,
): Promise<{ bad: number; sentences: string[]; played: readonly string[] }> {
  const recording = await PowerLoss.record(options);
  try {
    const sentences: string[] = [];
    let bad = 0;
    for await (const { findings } of recording.images(images)) {
      sentences.push(...findings);
      if (findings.length > 0) bad++;
    }
    return { bad, sentences, played: recording.verdict.findings };
  } finally {
    await recording.remove();
  }
}

describe('a machine that loses its power while a router writes to SQLite', () => {
  it('has everything that was told, in whole, whatever the disk made of the rest', async () => {
    const { sentences, played } = await findingsOf({ seed: 1, writeMs: 1200 }, { count: 20, seed: 1, routerEvery: 10 });
    expect([sentences, played]).toEqual([[], []]);
  });

  it('has lost some of it with synchronous=NORMAL, as that option says', async () => {
    const { bad, sentences } = await findingsOf(
      { seed: 2, writeMs: 1200, isOne: true, synchronous: 'NORMAL' },
      { count: 12, seed: 2, routerEvery: 100 },
    );
    expect(bad).toBeGreaterThan(0);
    // Nothing worse: the last changes, and with them the reservation of their numbers when that was recent, too.
    const due = /^(main has \d+ changes, but \d+ were told|revision \d+ may be given out again: \d+ was told)$/;
    expect(sentences.filter((sentence) => !due.test(sentence))).toEqual([]);
  });
});
